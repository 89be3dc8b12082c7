package ec2

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/skyweld/skyweld/internal/botocore"
	"github.com/skyweld/skyweld/lab/ec2/internal/query"
)

// judged serves a handler. Where botocore is installed, every answer that any test here gets is held against Amazon's own
// description of the API.
func judged(t *testing.T, h http.Handler) http.Handler {
	j, err := botocore.NewJudge(t.Errorf)
	if err != nil {
		return h
	}
	j.Requests = false // tests ask for what is wrong, too
	return j.Handler(h)
}

// TestParametersByModel sends every parameter that the model has to every action that the lab has: it may be refused as
// unsupported or wrong, but never as unknown.
func TestParametersByModel(t *testing.T) {
	model, err := botocore.EC2()
	if err != nil {
		t.Skip(err)
	}
	l := newLab(t)
	for name, run := range actions {
		if !model.Has(name) {
			t.Errorf("%s: the model has no such action", name)
		}
		for _, parameter := range model.Parameters(name) {
			if parameter == "DryRun" {
				continue
			}
			tree, err := query.ParseForm(model.Example(name, parameter), func(string) bool { return false })
			if err != nil {
				t.Fatal(err)
			}
			where, _ := l.cfg.Catalogue.region(testRegion)
			l.mu.Lock()
			_, err = run(&call{Service: l.Service, region: l.Service.region(testRegion), where: where, dryRun: true, now: time.Now()}, tree)
			l.mu.Unlock()
			var e *apiError
			if errors.As(err, &e) && e.Code == "UnknownParameter" {
				t.Errorf("%s with %s: %s", name, parameter, e.Message)
			}
		}
	}
}
