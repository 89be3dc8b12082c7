package engine

import (
	"context"

	"github.com/skyweld/skyweld/cloud"
)

// unmade stands for the driver of an account from which none could be made: its site is one that can't be observed.
type unmade struct {
	provider cloud.Provider
	why      error
}

func (u unmade) Provider() cloud.Provider                                    { return u.provider }
func (u unmade) Kinds() []cloud.KindInfo                                     { return nil }
func (u unmade) Blueprint(cloud.Owner, cloud.Site) ([]cloud.Resource, error) { return nil, nil }
func (u unmade) Charges(any) []cloud.Charge                                  { return nil }

func (u unmade) Observe(context.Context, string, string, ...cloud.Known) ([]cloud.Object, error) {
	return nil, u.why
}

func (u unmade) Preflight(context.Context, cloud.PreflightRequest) (cloud.Findings, error) {
	return cloud.Findings{}, u.why
}

func (u unmade) Create(context.Context, cloud.CreateRequest) (cloud.Object, error) {
	return cloud.Object{}, u.why
}

func (u unmade) Update(context.Context, cloud.UpdateRequest) (cloud.Object, error) {
	return cloud.Object{}, u.why
}

func (u unmade) Delete(context.Context, cloud.Owner, cloud.Object) error { return u.why }

func (u unmade) Check(context.Context, ...string) (cloud.Report, error) { return cloud.Report{}, u.why }

func (u unmade) Inventory(context.Context, ...string) ([]cloud.Item, error) { return nil, u.why }
