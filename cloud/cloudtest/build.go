package cloudtest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/skyweld/skyweld/cloud"
)

// Built is a site's resources with what was made of them.
type Built struct {
	// Resources are in an order in which they can be made.
	Resources []cloud.Resource
	// Objects are what the driver returned, by key.
	Objects map[string]cloud.Object
}

// Request is what makes a resource of the site, with the token of its nth creation.
func (b *Built) Request(d cloud.Driver, owner cloud.Owner, r cloud.Resource, n int) cloud.CreateRequest {
	req := cloud.CreateRequest{Owner: owner, Resource: r, Refs: map[string]cloud.Object{}, Token: token(r.Key, n)}
	for _, key := range r.DependsOn {
		req.Refs[key] = b.Objects[key]
	}
	if kindsOf(d)[r.Kind].Machine {
		req.UserData = []byte("#cloud-config\n{}\n")
	}
	return req
}

// Build makes a whole site, one resource after the other, and tries each again with the same token while its error is
// retryable, at most ten times.
func Build(ctx context.Context, d cloud.Driver, owner cloud.Owner, site cloud.Site) (*Built, error) {
	list, err := d.Blueprint(owner, site)
	if err != nil {
		return nil, fmt.Errorf("blueprint: %w", err)
	}
	b := &Built{Objects: map[string]cloud.Object{}}
	if b.Resources, err = inOrder(list); err != nil {
		return nil, err
	}
	for _, r := range b.Resources {
		for try := 1; ; try++ {
			b.Objects[r.Key], err = d.Create(ctx, b.Request(d, owner, r, 1))
			if err == nil {
				break
			}
			if try == 10 || ctx.Err() != nil || !cloud.ClassOf(err).Retryable() {
				return b, fmt.Errorf("try %d: %w", try, err)
			}
			if err := cloud.Pause(ctx, 10*time.Millisecond); err != nil {
				return b, err
			}
		}
	}
	return b, nil
}

// Differences lists the top-level fields of a desired spec that the observed one has otherwise, as the engine compares
// them: by their JSON forms, and what the desired one leaves out isn't compared.
func Differences(want, got any) ([]string, error) {
	w, err := fieldsOf(want)
	if err != nil {
		return nil, err
	}
	g, err := fieldsOf(got)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range slices.Sorted(maps.Keys(w)) {
		same, err := sameJSON(w[f], g[f])
		if err != nil {
			return nil, err
		}
		if !same {
			out = append(out, f)
		}
	}
	return out, nil
}

func sameJSON(a, b json.RawMessage) (bool, error) {
	if b == nil {
		return false, nil
	}
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		return false, fmt.Errorf("read a desired field: %w", err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		return false, fmt.Errorf("read an observed field: %w", err)
	}
	return reflect.DeepEqual(x, y), nil
}
