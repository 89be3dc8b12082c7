package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// row is a type as the rule sees it: everywhere to be had, unless said otherwise.
func row(cloud, name string, vcpus, memory int, usd float64) machineType {
	return machineType{cloud: cloud, name: name, vcpus: vcpus, memoryMiB: memory, arch: "amd64", usd: usd, regions: 10, of: 10}
}

// TestRule takes the rule's conditions one by one.
func TestRule(t *testing.T) {
	small, medium := wanted[0], wanted[1]
	but := func(m machineType, change func(*machineType)) machineType { change(&m); return m }
	for _, c := range []struct {
		name  string
		cloud string
		size  size
		types []machineType
		want  string
	}{
		{"the cheapest", "aws", medium, []machineType{row("aws", "m7i.xlarge", 4, 16384, 0.2), row("aws", "m6a.xlarge", 4, 16384, 0.17), row("aws", "m8i.xlarge", 4, 16384, 0.21)}, "m6a.xlarge"},
		{"the newest of one price", "aws", medium, []machineType{row("aws", "m5.xlarge", 4, 16384, 0.192), row("aws", "m6i.xlarge", 4, 16384, 0.192)}, "m6i.xlarge"},
		{"the first by name of one price and generation", "aws", medium, []machineType{row("aws", "m6i.xlarge", 4, 16384, 0.192), row("aws", "m6a.xlarge", 4, 16384, 0.192)}, "m6a.xlarge"},
		{"exactly the size", "aws", medium, []machineType{row("aws", "m6i.2xlarge", 8, 32768, 0.01), row("aws", "m6i.large", 2, 16384, 0.01), row("aws", "m6i.xlarge", 4, 16384, 0.2)}, "m6i.xlarge"},
		{"no shared processors for medium", "aws", medium, []machineType{row("aws", "t3.xlarge", 4, 16384, 0.01), row("aws", "m6i.xlarge", 4, 16384, 0.2)}, "m6i.xlarge"},
		{"shared ones for small", "aws", small, []machineType{row("aws", "t3.medium", 2, 4096, 0.04), row("aws", "c6i.large", 2, 4096, 0.01)}, "t3.medium"},
		{"no processors that are slowed down", "aws", medium, []machineType{row("aws", "m7i-flex.xlarge", 4, 16384, 0.01), row("aws", "m6i.xlarge", 4, 16384, 0.2)}, "m6i.xlarge"},
		{"no former family", "aws", small, []machineType{row("aws", "t2.medium", 2, 4096, 0.01), row("aws", "t3.medium", 2, 4096, 0.04)}, "t3.medium"},
		{"nine tenths of the regions", "aws", medium, []machineType{but(row("aws", "m6a.xlarge", 4, 16384, 0.1), func(m *machineType) { m.regions = 8 }), but(row("aws", "m6i.xlarge", 4, 16384, 0.2), func(m *machineType) { m.regions = 9 })}, "m6i.xlarge"},
		{"a price that is known", "azure", medium, []machineType{row("azure", "Standard_D4s_v6", 4, 16384, 0), row("azure", "Standard_D4s_v5", 4, 16384, 0.2)}, "Standard_D4s_v5"},
		{"no arm", "azure", medium, []machineType{but(row("azure", "Standard_D4s_v6", 4, 16384, 0.1), func(m *machineType) { m.arch = "arm64" }), row("azure", "Standard_D4s_v5", 4, 16384, 0.2)}, "Standard_D4s_v5"},
		{"no disks of its own", "azure", medium, []machineType{row("azure", "Standard_D4ds_v5", 4, 16384, 0.1), row("azure", "Standard_D4as_v5", 4, 16384, 0.2)}, "Standard_D4as_v5"},
		{"no encrypted memory", "azure", medium, []machineType{row("azure", "Standard_DC4as_v5", 4, 16384, 0.1), row("azure", "Standard_D4as_v5", 4, 16384, 0.2)}, "Standard_D4as_v5"},
		{"no graphics", "gcp", medium, []machineType{but(row("gcp", "e2-standard-4", 4, 16384, 0.1), func(m *machineType) { m.gpus = 1 }), row("gcp", "n2-standard-4", 4, 16384, 0.2)}, "n2-standard-4"},
		{"another cloud's", "gcp", small, []machineType{row("aws", "t3.medium", 2, 4096, 0.01), row("gcp", "e2-medium", 2, 4096, 0.04)}, "e2-medium"},
		{"a general one", "digitalocean", small, []machineType{row("digitalocean", "c-2", 2, 4096, 0.01), row("digitalocean", "s-2vcpu-4gb", 2, 4096, 0.03), row("digitalocean", "s-2vcpu-4gb-120gb-intel", 2, 4096, 0.01)}, "s-2vcpu-4gb"},
		{"none", "digitalocean", medium, []machineType{row("digitalocean", "s-4vcpu-16gb-amd", 4, 16384, 0.01)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // in whatever order they come
				got, err := choose(c.types, c.cloud, c.size)
				if got.name != c.want || (err != nil) != (c.want == "") {
					t.Errorf("chose %q, error %v; want %q", got.name, err, c.want)
				}
				for i, j := 0, len(c.types)-1; i < j; i, j = i+1, j-1 {
					c.types[i], c.types[j] = c.types[j], c.types[i]
				}
			}
		})
	}
}

// write makes a data folder of a few lines.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		data := []byte(text)
		if strings.HasSuffix(name, ".gz") {
			var err error
			if data, err = gzipped(text); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestGenerate makes both tables of a small data folder, twice the same.
func TestGenerate(t *testing.T) {
	data := write(t, map[string]string{
		"machine_types/aws.csv": "type,vcpu,memory_mib,arch,gpu,burstable,bare_metal,network\n" +
			"m6i.xlarge,4,16384,amd64,0,false,false,x\nt3.medium,2,4096,amd64,0,true,false,x\nm6i.2xlarge,8,32768,amd64,0,false,false,x\nm5.xlarge,4,16384,amd64,0,false,false,x\nm9x.huge,4,16384,amd64,0,false,false,x\n",
		"offerings/aws.csv.gz":           "region,zone_id,type\na,a1,m6i.xlarge\na,a2,m6i.xlarge\nb,b1,m6i.xlarge\na,a1,t3.medium\nb,b1,t3.medium\na,a1,m6i.2xlarge\nb,b1,m6i.2xlarge\na,a1,m5.xlarge\n",
		"prices/aws.csv":                 "region,type,usd_per_hour\nus-east-1,m6i.xlarge,0.192\nus-east-1,t3.medium,0.0416\nus-east-1,m6i.2xlarge,0.384\nus-east-1,m5.xlarge,0.1\neu-west-1,m6i.xlarge,9\n",
		"machine_types/azure.csv":        "type,vcpu,memory_mib,arch,gpu\nStandard_B2als_v2,2,4096,amd64,0\nStandard_D4as_v5,4,16384,amd64,0\nStandard_D8as_v5,8,32768,amd64,0\n",
		"prices/azure.csv.gz":            "region,type,usd_per_hour\neastus,Standard_B2als_v2,0.03\neastus,Standard_D4as_v5,0.17\neastus,Standard_D8as_v5,0.34\n",
		"machine_types/digitalocean.csv": "slug,vcpu,memory_mib,disk_gib,usd_per_hour,usd_per_month\ns-2vcpu-4gb,2,4096,80,0.03571,24\ng-4vcpu-16gb,4,16384,50,0.1875,126\ng-8vcpu-32gb,8,32768,100,0.375,252\n",
		"machine_types/gcp.csv":          "type,vcpu,memory_mib,arch,gpu\ne2-medium,2,4096,amd64,0\ne2-standard-4,4,16384,amd64,0\ne2-standard-8,8,32768,amd64,0\n",
		"offerings/gcp_regions.csv":      "region,type\nx,e2-medium\nx,e2-standard-4\nx,e2-standard-8\n",
		"prices/gcp.csv":                 "region,type,usd_per_hour,spot_usd_per_hour\nus-east4,e2-medium,0.04,0.01\nus-east4,e2-standard-4,0.15,0.05\nus-east4,e2-standard-8,0.3,0.1\n",
	})
	var texts [2]map[string]string
	for i := range texts {
		out := t.TempDir()
		if err := generate(data, out); err != nil {
			t.Fatal(err)
		}
		texts[i] = tables(t, out)
	}
	if diff := cmp.Diff(texts[0], texts[1]); diff != "" {
		t.Errorf("the second time:\n%s", diff)
	}
	for name, want := range map[string]string{
		"sizes.csv":    "medium,aws,m6i.xlarge,4,16384,amd64,steady,us-east-1,0.192\nmedium,azure,Standard_D4as_v5,4,16384,amd64,steady,eastus,0.17\n",
		"types.csv.gz": "aws,m5.xlarge,4,16384,amd64,0,0.1\naws,m6i.2xlarge,8,32768,amd64,0,0.384\naws,m6i.xlarge,4,16384,amd64,0,0.192\naws,m9x.huge,4,16384,amd64,0,\naws,t3.medium,2,4096,amd64,0,0.0416\n",
	} {
		if !strings.Contains(texts[0][name], want) {
			t.Errorf("%s lacks\n%s\nit is\n%s", name, want, texts[0][name])
		}
	}
	for _, gone := range []string{"machine_types/aws.csv", "prices/gcp.csv", "offerings/aws.csv.gz"} {
		path := filepath.Join(data, filepath.FromSlash(gone))
		was, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, []byte("x"), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := generate(data, t.TempDir()); err == nil {
			t.Errorf("a damaged %s was read", gone)
		}
		if err := os.WriteFile(path, was, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGenerated holds the tables of the package against the data that they are from, where that is at hand.
func TestGenerated(t *testing.T) {
	data := os.Getenv("SKYWELD_DATA")
	if data == "" {
		data = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(data, "machine_types")); err != nil {
		t.Skipf("needs the catalogues that the tables are from: set SKYWELD_DATA to their folder: %v", err)
	}
	out := t.TempDir()
	if err := generate(data, out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tables(t, ".."), tables(t, out)); diff != "" {
		t.Errorf("the tables are out of date; go generate ./sizes writes them (- is, + should be):\n%s", diff)
	}
}

// tables reads the generated files; how a text is packed may change with the version of Go.
func tables(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range []string{"sizes.csv", "types.csv.gz"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".gz") {
			gz, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if data, err = io.ReadAll(gz); err != nil {
				t.Fatal(err)
			}
		}
		out[name] = string(data)
	}
	return out
}
