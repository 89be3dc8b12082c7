package kube

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// things is an API server with objects by their paths, and controllers that remove what is deleted, unless it is held.
type things struct {
	mu      sync.Mutex
	objects map[string]object
	held    map[string]bool
	made    map[string]int
}

func (s *things) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch r.Method {
	case http.MethodPost:
		if s.made[r.URL.Path]++; s.made[r.URL.Path] > 1 {
			w.WriteHeader(http.StatusConflict)
			_ = json.NewEncoder(w).Encode(object{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "AlreadyExists", "code": 409})
			return
		}
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(object{"apiVersion": "v1", "kind": "Thing", "metadata": object{"name": "x"}})
	case http.MethodDelete:
		if s.held[r.URL.Path] {
			s.objects[r.URL.Path]["metadata"].(object)["deletionTimestamp"] = "2026-01-02T03:04:05Z"
		} else {
			s.remove(r.URL.Path)
		}
		_ = json.NewEncoder(w).Encode(object{"apiVersion": "v1", "kind": "Status", "status": "Success"})
	default:
		items := []any{}
		kind := r.URL.Path[strings.LastIndex(r.URL.Path, "/"):]
		for path, o := range s.objects {
			if strings.Contains(path, kind+"/") {
				items = append(items, o)
			}
		}
		_ = json.NewEncoder(w).Encode(object{"apiVersion": "v1", "kind": "List", "metadata": object{}, "items": items})
	}
}

// remove takes an object away, and with a claim its volume.
func (s *things) remove(path string) {
	delete(s.objects, path)
	if name, ok := strings.CutPrefix(path, "/api/v1/namespaces/a/persistentvolumeclaims/"); ok && !s.held["pv"] {
		delete(s.objects, "/api/v1/persistentvolumes/pv-"+name)
	}
	if strings.Contains(path, "/pods/") { // what held a claim
		claim := "/api/v1/namespaces/a/persistentvolumeclaims/data"
		if s.held[claim] {
			s.held[claim] = false
			s.remove(claim)
		}
	}
}

func thing(kind, space, name string, rest object) object {
	meta := object{"name": name}
	if space != "" {
		meta["namespace"] = space
	}
	o := object{"apiVersion": "v1", "kind": kind, "metadata": meta}
	for k, v := range rest {
		o[k] = v
	}
	return o
}

func volume(name, policy string) object {
	o := thing("PersistentVolume", "", "pv-"+name, object{"spec": object{
		"persistentVolumeReclaimPolicy": policy, "csi": object{"volumeHandle": "vol-" + name}, "claimRef": object{"namespace": "a", "name": name},
	}})
	o["metadata"].(object)["annotations"] = object{"pv.kubernetes.io/provisioned-by": "ebs.csi.aws.com"}
	return o
}

func claim(name string) object {
	return thing("PersistentVolumeClaim", "a", name, object{"spec": object{"volumeName": "pv-" + name}})
}

func (s *things) client(t *testing.T) *Client {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	dyn, err := dynamic.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return &Client{dyn: dyn}
}

func newThings() *things {
	return &things{held: map[string]bool{}, made: map[string]int{}, objects: map[string]object{
		"/api/v1/namespaces/a/services/web":                thing("Service", "a", "web", object{"spec": object{"type": "LoadBalancer"}, "status": object{"loadBalancer": object{"ingress": []any{object{"ip": "203.0.113.9"}}}}}),
		"/api/v1/namespaces/a/services/inside":             thing("Service", "a", "inside", object{"spec": object{"type": "ClusterIP"}}),
		"/api/v1/namespaces/a/persistentvolumeclaims/data": claim("data"),
		"/api/v1/namespaces/a/persistentvolumeclaims/keep": claim("keep"),
		"/api/v1/persistentvolumes/pv-data":                volume("data", "Delete"),
		"/api/v1/persistentvolumes/pv-keep":                volume("keep", "Retain"),
		"/api/v1/persistentvolumes/by-hand":                thing("PersistentVolume", "", "by-hand", object{"spec": object{"persistentVolumeReclaimPolicy": "Delete"}}),
		"/api/v1/namespaces/a/pods/db":                     thing("Pod", "a", "db", object{"spec": object{"volumes": []any{object{"name": "d", "persistentVolumeClaim": object{"claimName": "data"}}}}}),
	}}
}

func TestClear(t *testing.T) {
	s := newThings()
	s.held["/api/v1/namespaces/a/persistentvolumeclaims/data"] = true // by the pod
	c := s.client(t)
	for range 2 {
		if err := c.Freeze(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	left, err := c.Clear(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keep := []Leftover{{Object: "persistentvolume pv-keep", Handle: "vol-keep", Why: "its reclaim policy is Retain"}}
	if diff := cmp.Diff(keep, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	for path := range s.objects {
		if !strings.Contains(path, "keep") && !strings.Contains(path, "inside") && !strings.Contains(path, "by-hand") {
			t.Errorf("%s is still there", path)
		}
	}
}

// TestClearIsBounded has controllers that do nothing any more: what stays is named.
func TestClearIsBounded(t *testing.T) {
	s := newThings()
	s.held["/api/v1/namespaces/a/services/web"], s.held["pv"] = true, true
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	left, err := s.client(t).Clear(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []Leftover{
		{Object: "service a/web", Handle: "203.0.113.9", Why: "its controller has not removed the load balancer"},
		{Object: "persistentvolume pv-data", Handle: "vol-data", Why: "its storage driver has not removed the volume"},
		{Object: "persistentvolumeclaim a/data", Why: "a pod still uses it"},
		{Object: "persistentvolume pv-keep", Handle: "vol-keep", Why: "its reclaim policy is Retain"},
	}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}
