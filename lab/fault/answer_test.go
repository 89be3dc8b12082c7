package fault

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// counter is a cloud that says how often it was asked, and what with.
func counter(answer string) (http.Handler, *int) {
	n := new(int)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*n++
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Body", string(body))
		if answer == "" {
			fmt.Fprint(w, *n)
			return
		}
		io.WriteString(w, answer)
	}), n
}

func ask(t *testing.T, h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

// TestDuplicate carries a request out twice, body and all; the second answer counts.
func TestDuplicate(t *testing.T) {
	s := NewSet()
	cloud, n := counter("")
	h := s.Handler("c", plain{}, cloud)
	if _, err := s.Add(Rule{Cloud: "c", Kind: Duplicate, Action: "Run", Times: 1}); err != nil {
		t.Fatal(err)
	}
	if w := ask(t, h, http.MethodPost, "/Run", "all of it"); *n != 2 || w.Body.String() != "2" || w.Header().Get("X-Body") != "all of it" {
		t.Errorf("it was asked %d times, and answered %q to %q", *n, w.Body, w.Header().Get("X-Body"))
	}
	if w := ask(t, h, http.MethodPost, "/Run", ""); *n != 3 || w.Body.String() != "3" {
		t.Errorf("it was asked %d times, and answered %q", *n, w.Body)
	}
}

// TestListLag answers lists as they were: the same ones only, and for as long as the rule says. Things are found by their ids
// at once.
func TestListLag(t *testing.T) {
	s := NewSet()
	now := time.Now()
	s.clock = func() time.Time { return now }
	cloud, _ := counter("")
	h := s.Handler("c", plain{}, cloud)
	rule, err := s.Add(Rule{Cloud: "c", Kind: ListLag, Delay: Duration(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after           time.Duration
		path, body, was string
	}{
		{0, "/ListAll", "page 1", "1"},
		{0, "/ListAll", "page 2", "2"},
		{0, "/Get", "", "3"},
		{30 * time.Second, "/ListAll", "page 1", "1"},
		{0, "/Get", "", "4"},
		{20 * time.Second, "/ListAll", "page 2", "2"},
		{10 * time.Second, "/ListAll", "page 1", "5"},
		{time.Second, "/ListAll?page=2", "", "6"},
		{30 * time.Second, "/ListAll", "page 1", "5"},
	} {
		now = now.Add(c.after)
		if got := ask(t, h, http.MethodPost, c.path, c.body).Body.String(); got != c.was {
			t.Errorf("%s %s: answer %s, want %s", c.path, c.body, got, c.was)
		}
	}
	if list := s.List(); list[0].Hits != 7 {
		t.Errorf("%d strikes: those about what is no list count", list[0].Hits)
	}
	s.Remove(rule.ID)
	if got := ask(t, h, http.MethodPost, "/ListAll", "page 1").Body.String(); got != "7" {
		t.Errorf("without the rule the answer is %s", got)
	}
}

// TestStuck changes the answers that tell of something done, and counts no others.
func TestStuck(t *testing.T) {
	for answer, want := range map[string]string{"done": "going on", "nothing of the kind": "nothing of the kind"} {
		s := NewSet()
		cloud, _ := counter(answer)
		h := s.Handler("c", plain{}, cloud)
		if _, err := s.Add(Rule{Cloud: "c", Kind: Stuck}); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, h, http.MethodGet, "/Operation", "").Body.String(); got != want {
			t.Errorf("%q became %q, want %q", answer, got, want)
		}
		if hits := s.List()[0].Hits; (hits == 1) != (answer != want) {
			t.Errorf("%q: %d strikes", answer, hits)
		}
	}
}
