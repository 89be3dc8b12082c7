package main

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skyweld/skyweld/internal/facts"
)

// write makes a data folder of a few lines.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		save := func() error { return os.WriteFile(path, []byte(text), 0o644) }
		if strings.HasSuffix(name, ".gz") {
			save = func() error { return facts.WritePacked(path, []byte(text)) }
		}
		if err := save(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func small() map[string]string {
	return map[string]string{
		"machine_types/aws.csv":          "type,arch\nt3.medium,amd64\nm6g.large,arm64\n",
		"prices/aws.csv":                 "region,type,usd_per_hour\nus-east-1,t3.medium,0.0416\nus-east-1,m6g.large,0.1\nus-east-1,new.large,0.30\n",
		"machine_types/azure.csv":        "type,arch\nStandard_D4as_v5,amd64\n",
		"prices/azure.csv.gz":            "region,type,usd_per_hour\nwestus,Standard_D4as_v5,0.2\neastus,Standard_D4as_v5,0.172\neastus,Standard_D2as_v5,0.086\n",
		"machine_types/digitalocean.csv": "slug,usd_per_hour,usd_per_month\ns-2vcpu-4gb,0.03571,24\n",
		"machine_types/gcp.csv":          "type,arch\ne2-medium,amd64\n",
		"prices/gcp.csv":                 "region,type,usd_per_hour,spot_usd_per_hour\nus-east4,e2-medium,0.037,0.01\n",
	}
}

func TestGenerate(t *testing.T) {
	text, err := generate(write(t, small()))
	if err != nil {
		t.Fatal(err)
	}
	want := `aws,,2026-07-20,aws/karpenter-provider-aws @ 1d927085dd81,us-east-1
aws,new.large,0.3
aws,t3.medium,0.0416
azure,,2026-06-18,Azure/karpenter-provider-azure @ 352646f59929,eastus,westus
azure,Standard_D2as_v5,0.086
azure,Standard_D4as_v5,0.172,0.2
digitalocean,,2026-08-15,DigitalOcean's public API,*
digitalocean,s-2vcpu-4gb,0.03571/24
gcp,,2026-08-03,cloudpilot-ai/karpenter-provider-gcp @ 417f047b1175,us-east4
gcp,e2-medium,0.037
`
	if diff := cmp.Diff(head+want, text); diff != "" {
		t.Errorf("the table (- want, + is):\n%s", diff)
	}
}

// TestRefuses wants no table of figures that are none.
func TestRefuses(t *testing.T) {
	for _, c := range []struct{ file, line string }{
		{"prices/aws.csv", "us-east-1,t3.large,0\n"}, {"prices/aws.csv", "us-east-1,t3.large,\n"}, {"prices/aws.csv", "us-east-1,t3.large,-1\n"},
		{"prices/aws.csv", "us-east-1,t3 large,1\n"}, {"machine_types/digitalocean.csv", "s-1,0.1,x\n"},
	} {
		files := small()
		files[c.file] += c.line
		if _, err := generate(write(t, files)); err == nil {
			t.Errorf("%s with the line %q was taken", c.file, c.line)
		}
	}
}

// TestGenerated holds the table of the package against the data that it is from, where that is at hand.
func TestGenerated(t *testing.T) {
	data := os.Getenv("SKYWELD_DATA")
	if data == "" {
		data = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(data, "prices")); err != nil {
		t.Skipf("needs the catalogues that the table is from: set SKYWELD_DATA to their folder: %v", err)
	}
	text, err := generate(data)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join("..", "machines.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	is, err := io.ReadAll(gz)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(is), "\n"), strings.Split(text, "\n")); diff != "" {
		t.Errorf("the table is out of date; go generate ./price writes it (- is, + should be):\n%s", diff)
	}
}
