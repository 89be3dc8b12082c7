package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/engine"
	"github.com/skyweld/skyweld/plan"
)

// Receipt is what a cluster's accounts held before it and after it.
type Receipt = engine.Receipt

// ReceiptLine is a receipt at a glance.
type ReceiptLine struct {
	Cluster string    `json:"cluster"`
	UID     string    `json:"uid"`
	Closed  time.Time `json:"closed"`
	Summary string    `json:"summary"`
}

// ReceiptKey is the public key that an engine's receipts are checked with.
type ReceiptKey struct {
	Algorithm string `json:"algorithm"`
	// Key is in base64.
	Key string `json:"key"`
}

// SweepAsked is a sweep of an account.
type SweepAsked struct {
	Cluster string   `json:"cluster" doc:"the uid in the mark of what is to go"`
	Regions []string `json:"regions,omitempty" doc:"only these; all of the account's when there are none"`
	// Only are the ids that the list showed: the sweep is refused when there is more by now.
	Only []string `json:"only,omitempty" doc:"to begin it: the ids of all that is to go, as the plan showed them"`
}

// SweepPlan is what a sweep would delete.
type SweepPlan struct {
	Account string      `json:"account"`
	Cluster string      `json:"cluster"`
	Regions []string    `json:"regions"`
	Steps   []SweepStep `json:"steps"`
	Notes   []string    `json:"notes,omitempty"`
}

// SweepStep is one deletion of a sweep.
type SweepStep struct {
	plan.Step
	Region string `json:"region"`
	// Object is the cloud's own id.
	Object string `json:"object"`
}

// Sweep is one that was begun.
type Sweep struct {
	Run
	Account string `json:"account"`
	// Left is what still has the mark at the end.
	Left []string `json:"left,omitempty"`
}

func (s *Server) deletion(api huma.API) {
	remove(api, "/clusters/{name}", "Delete a cluster", http.StatusAccepted, func(ctx context.Context, in *struct {
		Name    string   `path:"name"`
		Abandon []string `query:"abandon" doc:"sites that are given up, because their accounts are lost"`
		Conditional
	}) (*accepted, error) {
		ctx, err := in.bind(ctx)
		if err != nil {
			return nil, err
		}
		c, err := s.engine.Delete(ctx, in.Name, who(ctx), in.Abandon...)
		return s.change(ctx, c, err)
	})
	get(api, "/clusters/{name}/receipt", "Get the receipt of a cluster, by its name or uid, also after its end", func(ctx context.Context, in *byName) (*body[Receipt], error) {
		r, err := s.engine.Receipt(ctx, in.Name)
		return &body[Receipt]{r}, err
	})
	get(api, "/receipts", "List the receipts of deleted clusters, the newest first", func(ctx context.Context, in *Paged) (*listed[ReceiptLine], error) {
		all, err := s.engine.Store().ListReceipts(ctx)
		var out []ReceiptLine
		for _, r := range all {
			out = append(out, ReceiptLine{Cluster: r.Name, UID: r.Cluster, Closed: r.Closed, Summary: r.Summary})
		}
		if err != nil {
			return nil, err
		}
		return pageAfter("receipts", *in, usualPage, out, func(r ReceiptLine) string { return fmt.Sprintf("%019d/%s", math.MaxInt64-r.Closed.UnixMicro(), r.UID) })
	})
	get(api, "/receipt-key", "Get the public key that receipts are checked with", func(ctx context.Context, _ *struct{}) (*body[ReceiptKey], error) {
		key, err := s.engine.ReceiptKey(ctx)
		return &body[ReceiptKey]{ReceiptKey{Algorithm: "ed25519", Key: base64.StdEncoding.EncodeToString(key)}}, err
	})
	s.sweeps(api)
}

// begunSweep is a sweep with where to follow it.
type begunSweep struct {
	Location string `header:"Location" doc:"the sweep"`
	Body     Sweep
}

func (s *Server) sweeps(api huma.API) {
	post(api, "/accounts/{name}/sweep-plan", "Say what a sweep of an account would delete", http.StatusOK, func(ctx context.Context, in *struct {
		Name string `path:"name"`
		Body SweepAsked
	}) (*body[SweepPlan], error) {
		sw, err := s.engine.PlanSweep(ctx, in.Name, in.Body.Cluster, in.Body.Regions)
		if err != nil {
			return nil, err
		}
		out := SweepPlan{Account: in.Name, Cluster: in.Body.Cluster, Regions: sw.Regions, Steps: []SweepStep{}, Notes: sw.Graph.Notes}
		if out.Regions == nil {
			out.Regions = []string{}
		}
		for _, st := range sw.Graph.Steps {
			out.Steps = append(out.Steps, SweepStep{Step: st, Region: st.Got.Region, Object: st.Got.ID})
		}
		return &body[SweepPlan]{out}, nil
	})
	post(api, "/accounts/{name}/sweeps", "Delete what bears the mark of a cluster that no engine knows", http.StatusAccepted, func(ctx context.Context, in *struct {
		Name string `path:"name"`
		Body SweepAsked
	}) (*begunSweep, error) {
		sw, err := s.engine.StartSweep(ctx, in.Name, in.Body.Cluster, in.Body.Regions, in.Body.Only)
		if err != nil {
			return nil, err
		}
		out := sweepOf(sw)
		return &begunSweep{"/api/v1/sweeps/" + strconv.FormatInt(out.ID, 10), out}, nil
	})
	get(api, "/sweeps/{id}", "Get a sweep with its steps", func(ctx context.Context, in *byID) (*body[Sweep], error) {
		sw, err := s.engine.SweepOf(in.ID)
		if err != nil {
			return nil, err
		}
		return &body[Sweep]{sweepOf(sw)}, nil
	})
}

func sweepOf(sw *engine.Sweep) Sweep {
	r, steps, left := sw.Progress()
	return Sweep{Run: runOf(r, steps, r.Cluster), Account: sw.Account, Left: left}
}

// Delete asks for the end of a cluster. The sites in abandon are given up.
func (c *Client) Delete(ctx context.Context, name string, abandon ...string) (Change, error) {
	path := cluster(name)
	if len(abandon) > 0 {
		path += "?abandon=" + url.QueryEscape(strings.Join(abandon, ","))
	}
	var ch Change
	err := c.call(ctx, http.MethodDelete, path, nil, &ch)
	return ch, err
}

// Receipt returns the receipt of a cluster, by its name or uid.
func (c *Client) Receipt(ctx context.Context, nameOrUID string) (Receipt, error) {
	return fetch[Receipt](ctx, c, cluster(nameOrUID)+"/receipt")
}

// Receipts lists the receipts of deleted clusters, the newest first.
func (c *Client) Receipts(ctx context.Context) ([]ReceiptLine, error) {
	return fetchAll[ReceiptLine](ctx, c, "/receipts")
}

// ReceiptKey returns the public key that the engine's receipts are checked with.
func (c *Client) ReceiptKey(ctx context.Context) ([]byte, error) {
	k, err := fetch[ReceiptKey](ctx, c, "/receipt-key")
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(k.Key)
	if err != nil {
		return nil, fmt.Errorf("the engine's key for receipts: %w", err)
	}
	return key, nil
}

// PlanSweep says what a sweep of an account would delete.
func (c *Client) PlanSweep(ctx context.Context, account string, asked SweepAsked) (SweepPlan, error) {
	var p SweepPlan
	err := c.call(ctx, http.MethodPost, "/accounts/"+url.PathEscape(account)+"/sweep-plan", asked, &p)
	return p, err
}

// StartSweep begins a sweep of an account.
func (c *Client) StartSweep(ctx context.Context, account string, asked SweepAsked) (Sweep, error) {
	var sw Sweep
	err := c.call(ctx, http.MethodPost, "/accounts/"+url.PathEscape(account)+"/sweeps", asked, &sw)
	return sw, err
}

// Sweep returns a sweep with its steps.
func (c *Client) Sweep(ctx context.Context, id int64) (Sweep, error) {
	return fetch[Sweep](ctx, c, "/sweeps/"+strconv.FormatInt(id, 10))
}
