package web

import (
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// keptCookie names a form that waits for whoever sent it to sign in again.
const keptCookie = "skyweld_form"

const (
	// keptFor is how long a form is kept, keptForms how many are, and longestKept how large one is at most: whoever isn't
	// signed in must not fill the memory.
	keptFor     = time.Hour
	keptForms   = 64
	longestKept = 256 << 10
)

// keptForm is a form that came without a session, without its secrets.
type keptForm struct {
	id, path string
	values   url.Values
	// dropped says that it had secrets.
	dropped bool
	until   time.Time
}

// keeper keeps such forms in memory. Whoever has the cookie gets one back, once, at the page that it was sent to.
type keeper struct {
	mu    sync.Mutex
	forms []keptForm
	now   func() time.Time
}

// put keeps a request's form.
func (k *keeper) put(w http.ResponseWriter, r *http.Request) {
	f := keptForm{id: onceMore(), path: r.URL.Path, values: url.Values{}, until: k.now().Add(keptFor)}
	size := 0
	for name, values := range r.PostForm {
		if secretField(name) {
			f.dropped = f.dropped || name != csrfField && name != onceField && values[0] != ""
			continue
		}
		f.values[name] = values
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	if size > longestKept {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget()
	if len(k.forms) == keptForms {
		k.forms = slices.Delete(k.forms, 0, 1) // the oldest
	}
	k.forms = append(k.forms, f)
	http.SetCookie(w, &http.Cookie{Name: keptCookie, Value: f.id, Path: "/", MaxAge: int(keptFor.Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil})
}

// forget drops what is too old. The caller holds the lock.
func (k *keeper) forget() {
	k.forms = slices.DeleteFunc(k.forms, func(f keptForm) bool { return k.now().After(f.until) })
}

func (k *keeper) find(r *http.Request) int {
	c, err := r.Cookie(keptCookie)
	if err != nil {
		return -1
	}
	k.forget()
	return slices.IndexFunc(k.forms, func(f keptForm) bool { return f.id == c.Value })
}

// has says that a form waits for a request's sender.
func (k *keeper) has(r *http.Request) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.find(r) >= 0
}

// take gives the form back that was sent to a request's path.
func (k *keeper) take(w http.ResponseWriter, r *http.Request) (keptForm, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := k.find(r)
	if i < 0 || k.forms[i].path != r.URL.Path {
		return keptForm{}, false
	}
	f := k.forms[i]
	k.forms = slices.Delete(k.forms, i, i+1)
	http.SetCookie(w, &http.Cookie{Name: keptCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil})
	return f, true
}
