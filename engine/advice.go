package engine

import (
	"errors"
	"fmt"
	"strings"

	"github.com/skyweld/skyweld/cloud"
	"github.com/skyweld/skyweld/plan"
	"github.com/skyweld/skyweld/store"
)

// explain adds to a step's error which resource it is about and what can be done.
func explain(s plan.Step, account string, err error) error {
	if err == nil || errors.Is(err, store.ErrFenced) {
		return err
	}
	what := fmt.Sprintf("%s %s %s", s.Action, s.Kind, s.Key)
	if s.Kind == plan.NodeKind || s.Kind == plan.RoundTripKind {
		return fmt.Errorf("%s: %w", what, err)
	}
	said := strings.TrimPrefix(err.Error(), what+": ") // the driver's own words for the same
	return &stepError{fmt.Sprintf("%s in site %s (account %s): %s; %s", what, s.Site, account, said, advice(err, account)), err}
}

// stepError is a step's error in the words that people get.
type stepError struct {
	text  string
	cause error
}

func (e *stepError) Error() string { return e.text }
func (e *stepError) Unwrap() error { return e.cause }

// withAdvice adds what to do to the error of a call that was only to read.
func withAdvice(err error, account string) error {
	if e, ok := errors.AsType[*cloud.Error](err); ok && e.NoRegion {
		return err // it says so itself
	}
	switch cloud.ClassOf(err) {
	case cloud.Denied, cloud.Throttled, cloud.Unknown:
		return fmt.Errorf("%w; %s", err, advice(err, account))
	}
	return err
}

// advice says what to do about an error.
func advice(err error, account string) string {
	check := fmt.Sprintf("'skyweld account check %s'", account)
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		switch {
		case e.Credentials:
			return fmt.Sprintf("give account %s credentials that are good with 'skyweld account update %s --from-env'", account, account)
		case e.Class == cloud.Denied && e.Action != "":
			return fmt.Sprintf("allow %s to account %s; %s shows all that is missing", e.Action, account, check)
		}
	}
	switch cloud.ClassOf(err) {
	case cloud.Denied:
		return check + " shows which permissions are missing"
	case cloud.QuotaExceeded:
		return "ask the cloud to raise this limit of account " + account + ", or ask for less; " + check + " shows the limits"
	case cloud.Capacity:
		return "the cloud has none left there now: wait, or ask for another size"
	case cloud.Conflict:
		return "remove what still uses it; this goes on by itself then"
	case cloud.AlreadyExists:
		return "something that Skyweld didn't make has taken its name or address: remove that, and this goes on by itself"
	case cloud.Invalid:
		return "the cloud will not take it as it is; change what is asked for"
	case cloud.Throttled, cloud.Unavailable:
		return "try again later; runs do so by themselves"
	}
	return "it is tried again by itself; when that doesn't help, " + check + " may say more"
}
