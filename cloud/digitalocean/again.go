package digitalocean

import (
	"errors"
	"net/http"

	"github.com/skyweld/skyweld/cloud"
)

// again has requests that only read repeated while DigitalOcean throttles them or is in trouble. All others are repeated
// only when they were too many, which DigitalOcean says before it does anything; whatever else happens to them, they are
// tried once.
type again struct{ next http.RoundTripper }

var errBusy = errors.New("busy")

func isBusy(err error) bool { return errors.Is(err, errBusy) }

func (a again) RoundTrip(r *http.Request) (*http.Response, error) {
	var answer *http.Response
	err := cloud.ReadAgain(r.Context(), isBusy, func() error {
		if answer != nil { // the one before, which is not looked at any more
			answer.Body.Close()
			answer = nil
			var err error
			if r, err = afresh(r); err != nil {
				return err
			}
		}
		var err error
		if answer, err = a.next.RoundTrip(r); err != nil {
			return err
		}
		if answer.StatusCode == http.StatusTooManyRequests || r.Method == http.MethodGet && answer.StatusCode >= 500 {
			return errBusy
		}
		return nil
	})
	if isBusy(err) {
		err = nil // the answer tells
	}
	return answer, err
}

// afresh is a request whose body wasn't read yet.
func afresh(r *http.Request) (*http.Request, error) {
	if r.GetBody == nil {
		return r, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = body
	return r, nil
}
