package kube

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

const corednsPath = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"

// apiServer has the one Deployment, with these constraints, as far as SpreadDNS looks at it; nil has none.
type apiServer struct {
	constraints []any
	has         bool
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	pod := object{"dnsPolicy": "Default", "topologySpreadConstraints": s.constraints}
	if len(s.constraints) == 0 {
		delete(pod, "topologySpreadConstraints")
	}
	answer := object{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": object{"name": "coredns", "namespace": "kube-system"},
		"spec": object{"replicas": 2, "template": object{"spec": pod}},
	}
	switch {
	case r.URL.Path != corednsPath || !s.has:
		w.WriteHeader(http.StatusNotFound)
		answer = object{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
	case r.Method == http.MethodPatch && r.Header.Get("Content-Type") == "application/merge-patch+json":
		var patch struct {
			Spec struct {
				Template struct {
					Spec struct{ TopologySpreadConstraints []any }
				}
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&patch); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.constraints = patch.Spec.Template.Spec.TopologySpreadConstraints
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// client is one of a cluster whose API server that is.
func (s *apiServer) client(t *testing.T) *Client {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	dyn, err := dynamic.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return &Client{dyn: dyn}
}

func TestSpreadDNS(t *testing.T) {
	theirs := map[string]any{"maxSkew": int64(1), "topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway"}
	for name, c := range map[string]struct {
		has  []any
		key  string
		want []any
	}{
		"as kubeadm leaves it":       {nil, TopologyRegion, []any{apart(TopologyRegion)}},
		"already":                    {[]any{apart(TopologyRegion)}, TopologyRegion, []any{apart(TopologyRegion)}},
		"a second region came later": {[]any{apart(TopologyHostname)}, TopologyRegion, []any{apart(TopologyRegion)}},
		"somebody's own":             {[]any{theirs}, TopologyRegion, []any{theirs}},
		"ours and somebody's":        {[]any{apart(TopologyHostname), theirs}, TopologyRegion, []any{apart(TopologyHostname), theirs}},
	} {
		t.Run(name, func(t *testing.T) {
			server := &apiServer{c.has, true}
			if err := server.client(t).SpreadDNS(t.Context(), c.key); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(asJSON(t, c.want), asJSON(t, server.constraints)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if err := new(apiServer).client(t).SpreadDNS(t.Context(), TopologyRegion); err != nil {
		t.Errorf("a cluster without CoreDNS: %v", err)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
