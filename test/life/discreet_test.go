package life_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/skyweld/skyweld/internal/canary"
)

// discretion gathers all that the binary says in a life, to look for the real secrets in it.
type discretion struct {
	w       *world
	secrets canary.Set
	said    map[string]string // by what said it
}

// discreet begins while the cluster is there and has all its secrets: those of the engine, and the tunnels' private keys.
func (w *world) discreet() *discretion {
	w.t.Helper()
	secrets, err := canary.OfEngine(w.t.Context(), w.Path("engine"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, node := range []string{"life-web-1", "life-batch-1"} {
		secrets.Add("tunnel key of "+node, []byte(strings.TrimSpace(w.Must("ssh", node, "--", "cat", "/var/lib/skyweld/tunnel.key"))))
	}
	d := &discretion{w: w, secrets: secrets, said: map[string]string{}}
	for name, forms := range secrets {
		if len(forms) == 0 {
			w.t.Errorf("%s can't be looked for", name)
		}
	}
	return d
}

// listen lets the command line and the API say all that they can about the cluster, under its name or its uid.
func (d *discretion) listen(cluster, node, when string) {
	d.w.t.Helper()
	for _, form := range []string{"table", "wide", "json", "yaml"} {
		for _, args := range [][]string{
			{"get", "clusters"}, {"get", "clusters", cluster}, {"get", "nodes", cluster}, {"get", "resources", cluster}, {"get", "changes", cluster}, {"get", "events", cluster},
			{"get", "accounts"}, {"get", "receipts"}, {"get", "snapshots", cluster}, {"receipt", cluster}, {"account", "list"}, {"account", "check", "my-aws"}, {"account", "check", "my-gcp"},
			{"account", "check", "my-azure"}, {"account", "check", "my-digitalocean"}, {"inventory", "my-aws"}, {"plan", "-f", d.w.Path("cluster.yaml")},
		} {
			args = append(args, "-o", form)
			out, err := d.w.Quietly(d.w.Bin, args...)
			d.said[when+": skyweld "+strings.Join(args, " ")] = out + fmt.Sprint(err)
		}
	}
	d.api(cluster, node, when)
}

// api asks everything that the engine's own description says can be asked.
func (d *discretion) api(cluster, node, when string) {
	d.w.t.Helper()
	address, err := os.ReadFile(d.w.Path("engine/address"))
	if err != nil {
		d.w.t.Fatal(err)
	}
	base := strings.TrimSpace(string(address))
	var doc struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(d.ask(base+"/openapi.json")), &doc); err != nil || len(doc.Paths) == 0 {
		d.w.t.Fatalf("the API's description has %d paths: %v", len(doc.Paths), err)
	}
	asked := 0
	for path, methods := range doc.Paths {
		if _, ok := methods["get"]; !ok {
			continue
		}
		name := cluster
		if strings.Contains(path, "/accounts/") {
			name = "my-aws"
		}
		full := strings.NewReplacer("{name}", name, "{node}", node, "{id}", "1", "{uid}", cluster, "{account}", "my-aws", "{cluster}", cluster).Replace(path)
		d.said[when+": GET "+full] = d.ask(base + full)
		asked++
	}
	d.w.t.Logf("%s: %d questions of the API asked", when, asked)
}

func (d *discretion) ask(url string) string {
	d.w.t.Helper()
	token, err := os.ReadFile(d.w.Path("engine/token"))
	if err != nil {
		d.w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(d.w.t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		d.w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		d.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	stream := strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")
	if stream { // it goes on by itself; what it says at first is enough
		defer time.AfterFunc(3*time.Second, cancel).Stop()
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil && !stream {
		d.w.t.Fatal(err)
	}
	return string(body)
}

// end lets the engine crash, with all that Go then writes, and looks for every secret in everything that was said, the
// log at its most talkative level included. The engine runs again afterwards.
func (d *discretion) end() {
	d.w.t.Helper()
	if err := d.w.Engine.Process.Signal(syscall.SIGQUIT); err != nil {
		d.w.t.Fatal(err)
	}
	_ = d.w.Engine.Wait()
	d.w.Engine = nil
	log, err := os.ReadFile(d.w.Log.Name())
	if err != nil {
		d.w.t.Fatal(err)
	}
	if !strings.Contains(string(log), "SIGQUIT: quit") || !strings.Contains(string(log), "level=DEBUG") {
		d.w.t.Error("the engine's log has neither its crash nor what it logs at the level debug")
	}
	d.said["the engine's log"] = string(log)
	size := 0
	for what, text := range d.said {
		size += len(text)
		for _, secret := range d.secrets.Find(text) {
			d.w.t.Errorf("%s shows a secret: %s", what, secret)
		}
	}
	d.w.t.Logf("%d secrets are in none of %d outputs, %d KiB", len(d.secrets), len(d.said), size>>10)
	d.w.StartEngine()
}

// uid is the cluster's.
func (w *world) uid() string {
	w.t.Helper()
	var list struct{ Items []struct{ UID string } }
	w.JSON(&list, "get", "clusters", "-o", "json")
	if len(list.Items) != 1 {
		w.t.Fatalf("there are %d clusters", len(list.Items))
	}
	return list.Items[0].UID
}
