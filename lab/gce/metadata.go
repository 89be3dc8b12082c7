package gce

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"time"

	"google.golang.org/api/compute/v1"
)

const (
	// maxMetadataWait bounds a request that waits for a change.
	maxMetadataWait = 60 * time.Second
	// Guest attributes are small: at most this many of this size, as Google's documentation of them says.
	maxGuestValue = 128 << 10
	maxGuestItems = 256
)

// Metadata serves the metadata service, as machines of one network and region see it at metadata.google.internal.
func (s *Service) Metadata(network string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		w.Header().Set("Server", "Metadata Server for VM")
		w.Header().Set("X-XSS-Protection", "0")
		w.Header().Set("X-Frame-Options", "SAMEORIGIN")
		s.serveMetadata(w, r, network)
	})
}

func (s *Service) serveMetadata(w http.ResponseWriter, r *http.Request, network string) {
	path := r.URL.Path
	if path == "/" || path == "" {
		plain(w, http.StatusOK, "application/text", "computeMetadata/\n")
		return
	}
	if r.Header.Get("Metadata-Flavor") != "Google" && r.Header.Get("X-Google-Metadata-Request") != "True" {
		plain(w, http.StatusForbidden, "text/html; charset=UTF-8", metadataError(http.StatusForbidden, "Missing required header \"Metadata-Flavor\": \"Google\""))
		return
	}
	if r.Header.Get("X-Forwarded-For") != "" {
		plain(w, http.StatusForbidden, "text/html; charset=UTF-8", metadataError(http.StatusForbidden, "Requests with an X-Forwarded-For header are refused"))
		return
	}
	caller := s.caller(r, network)
	if caller == "" {
		plain(w, http.StatusNotFound, "text/html; charset=UTF-8", metadataError(http.StatusNotFound, "No machine has this address"))
		return
	}
	if rest, ok := strings.CutPrefix(path, "/computeMetadata/v1/instance/guest-attributes/"); ok && r.Method != http.MethodGet {
		s.writeGuestAttribute(w, r, caller, rest)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		plain(w, http.StatusMethodNotAllowed, "text/html; charset=UTF-8", metadataError(http.StatusMethodNotAllowed, "Method not allowed"))
		return
	}
	s.readMetadata(w, r, caller)
}

func plain(w http.ResponseWriter, code int, contentType, text string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(code)
	io.WriteString(w, text)
}

func metadataError(code int, why string) string {
	return fmt.Sprintf("<!DOCTYPE html>\n<html lang=en>\n<title>Error %d (%s)</title>\n<p><b>%d.</b> <ins>%s.</ins>\n</html>\n", code, http.StatusText(code), code, why)
}

// caller returns the path of the instance that asks, by its private address.
func (s *Service) caller(r *http.Request, network string) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for path, i := range s.st.Instances {
		for _, nic := range i.NetworkInterfaces {
			if nic.NetworkIP == ip.Unmap().String() && worldID(nic.Network, zoneToRegion(base(i.Zone))) == network {
				return path
			}
		}
	}
	return ""
}

// readMetadata answers a read; with wait_for_change only when the value differs from last_etag, or after the timeout.
func (s *Service) readMetadata(w http.ResponseWriter, r *http.Request, caller string) {
	q := r.URL.Query()
	wait := maxMetadataWait
	if text := q.Get("timeout_sec"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			plain(w, http.StatusBadRequest, "text/html; charset=UTF-8", metadataError(http.StatusBadRequest, "timeout_sec must be a number of seconds"))
			return
		}
		wait = min(wait, time.Duration(n)*time.Second)
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	last := q.Get("last_etag")
	over := !truth(q.Get("wait_for_change"))
	for {
		s.mu.Lock()
		changed := s.changed
		answer := s.lookupMetadata(r.URL.Path, q.Get("alt"), truth(q.Get("recursive")), caller)
		s.mu.Unlock()
		if over || answer.code != http.StatusOK || last != "" && last != answer.etag {
			if answer.redirect != "" {
				if r.URL.RawQuery != "" {
					answer.redirect += "?" + r.URL.RawQuery
				}
				w.Header().Set("Location", "http://"+r.Host+answer.redirect)
			}
			w.Header().Set("ETag", answer.etag)
			plain(w, answer.code, answer.contentType, answer.text)
			return
		}
		if last == "" {
			last = answer.etag
		}
		select {
		case <-changed:
		case <-timeout.C:
			over = true
		case <-s.closing:
			over = true
		case <-r.Context().Done():
			return
		}
	}
}

func truth(v string) bool { return strings.EqualFold(v, "true") || v == "1" }

type metadataAnswer struct {
	code                        int
	contentType, text, redirect string
	etag                        string
}

// lookupMetadata finds a path in the tree. The caller holds the lock.
func (s *Service) lookupMetadata(path, alt string, recursive bool, caller string) metadataAnswer {
	lost := metadataAnswer{code: http.StatusNotFound, contentType: "text/html; charset=UTF-8", etag: "0"}
	lost.text = metadataError(http.StatusNotFound, "The requested URL <code>"+strings.Map(harmless, path)+"</code> was not found on this server")
	i := s.st.Instances[caller]
	if i == nil {
		return lost
	}
	var at any = dir{"computeMetadata": dir{"v1": dir{"instance": s.instanceTree(i), "project": s.projectTree(), "oslogin": dir{}}}}
	for _, part := range strings.Split(strings.Trim(path, "/"), "/") {
		switch v := at.(type) {
		case dir:
			at = v[part]
		case list:
			n, err := strconv.Atoi(part)
			if err != nil || n < 0 || n >= len(v) {
				return lost
			}
			at = v[n]
		default:
			return lost
		}
		if at == nil {
			return lost
		}
	}
	leaf := !isDir(at)
	switch {
	case leaf && strings.HasSuffix(path, "/"):
		return lost
	case !leaf && !strings.HasSuffix(path, "/"):
		return metadataAnswer{code: http.StatusMovedPermanently, redirect: path + "/", contentType: "text/html; charset=UTF-8", text: path + "/\n", etag: etagOf(at)}
	}
	answer := metadataAnswer{code: http.StatusOK, contentType: "application/text", etag: etagOf(at)}
	switch {
	case alt == "json" || recursive && alt != "text":
		if !leaf && !recursive {
			// A listing in JSON is the names.
			text, _ := json.Marshal(names(at))
			answer.contentType, answer.text = "application/json", string(text)
			return answer
		}
		text, err := json.Marshal(jsonForm(at, true))
		if err != nil {
			return lost
		}
		answer.contentType, answer.text = "application/json", string(text)
	case leaf:
		answer.text = textForm(at)
	case recursive:
		var b strings.Builder
		flatten(&b, "", at)
		answer.text = b.String()
	default:
		answer.text = strings.Join(names(at), "\n") + "\n"
		if answer.text == "\n" {
			answer.text = ""
		}
	}
	return answer
}

func harmless(r rune) rune {
	if strings.ContainsRune("<>&\"'", r) {
		return -1
	}
	return r
}

// writeGuestAttribute stores what a machine says of itself ("hostkeys/ssh-ed25519"), or forgets it.
func (s *Service) writeGuestAttribute(w http.ResponseWriter, r *http.Request, caller, key string) {
	namespace, name, ok := strings.Cut(key, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		plain(w, http.StatusBadRequest, "text/html; charset=UTF-8", metadataError(http.StatusBadRequest, "Guest attributes are named namespace/key"))
		return
	}
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxGuestValue))
	if err != nil {
		plain(w, http.StatusRequestEntityTooLarge, "text/html; charset=UTF-8", metadataError(http.StatusRequestEntityTooLarge, "The value is too large"))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	guest := s.st.Guest[caller]
	if guest == nil {
		guest = map[string]string{}
		s.st.Guest[caller] = guest
	}
	switch r.Method {
	case http.MethodDelete:
		delete(guest, key)
	case http.MethodPut:
		if len(guest) >= maxGuestItems {
			plain(w, http.StatusForbidden, "text/html; charset=UTF-8", metadataError(http.StatusForbidden, "There are too many guest attributes"))
			return
		}
		guest[key] = string(value)
	default:
		plain(w, http.StatusMethodNotAllowed, "text/html; charset=UTF-8", metadataError(http.StatusMethodNotAllowed, "Method not allowed"))
		return
	}
	s.save()
	plain(w, http.StatusOK, "application/text", "")
}

// getGuestAttributes is the API's view of what a machine wrote.
func (s *Service) getGuestAttributes(c *call) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, _, err := find(s, s.st.Instances, c)
	if err != nil {
		return nil, err
	}
	query := c.q.Get("queryPath")
	answer := &compute.GuestAttributes{Kind: "compute#guestAttributes", SelfLink: c.path, QueryPath: query, QueryValue: &compute.GuestAttributesValue{}}
	if key := c.q.Get("variableKey"); key != "" {
		query = key
		answer.VariableKey = key
	}
	for k, v := range s.st.Guest[path] {
		if query == "" || k == query || strings.HasPrefix(k, strings.TrimSuffix(query, "/")+"/") {
			namespace, key, _ := strings.Cut(k, "/")
			answer.QueryValue.Items = append(answer.QueryValue.Items, &compute.GuestAttributesEntry{Namespace: namespace, Key: key, Value: v})
		}
	}
	if len(answer.QueryValue.Items) == 0 {
		return nil, notFound(c.path + "/" + query)
	}
	sort.Slice(answer.QueryValue.Items, func(a, b int) bool {
		x, y := answer.QueryValue.Items[a], answer.QueryValue.Items[b]
		return x.Namespace+"/"+x.Key < y.Namespace+"/"+y.Key
	})
	return answer, nil
}
