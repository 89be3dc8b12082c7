package arm

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// bootLogs is where machines' boot logs are: storage of Azure's, which has links with a signature in place of tokens.
const bootLogs = "/bootdiagnostics/"

// bootDiagnostics gives the links to a machine's boot log, which are good for two hours unless the call says another time.
func (s *Service) bootDiagnostics(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := wholeOf(c, s.st.Machines, c.id+"/x")
	if err != nil {
		return nil, err
	}
	if d := m.Properties.DiagnosticsProfile; d == nil || d.BootDiagnostics == nil || !d.BootDiagnostics.Enabled {
		return nil, refuse(http.StatusConflict, "OperationNotAllowed", "Boot diagnostics is not enabled on the VM '%s'.", m.Name)
	}
	minutes := 120
	if text := c.q.Get("sasUriExpirationTimeInMinutes"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1440 {
			return nil, invalidParameter("sasUriExpirationTimeInMinutes", "The value '%s' of parameter 'sasUriExpirationTimeInMinutes' is not valid: want 1 to 1440.", text)
		}
		minutes = n
	}
	until := time.Now().Add(time.Duration(minutes) * time.Minute)
	return shown(http.StatusOK, map[string]any{
		"consoleScreenshotBlobUri": s.bootLink(m, "screenshot.bmp", until), "serialConsoleLogBlobUri": s.bootLink(m, "serialconsole.log", until),
	}), nil
}

func (s *Service) bootLink(m *machine, name string, until time.Time) string {
	path := bootLogs + m.Properties.VMID + "/" + m.Name + "." + name
	end := until.UTC().Format(time.RFC3339)
	q := url.Values{"sv": {"2025-05-05"}, "sr": {"b"}, "sp": {"r"}, "se": {end}, "sig": {base64.StdEncoding.EncodeToString(s.mac(path + "\n" + end))}}
	return s.cfg.BaseURL() + path + "?" + q.Encode()
}

// serveBootLog serves a boot log to who has the link. The lab's machines have no screens.
func (s *Service) serveBootLog(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	until, err := time.Parse(time.RFC3339, q.Get("se"))
	if err != nil || time.Now().After(until) || !same(q.Get("sig"), base64.StdEncoding.EncodeToString(s.mac(r.URL.Path+"\n"+q.Get("se")))) {
		http.Error(w, "AuthenticationFailed: Server failed to authenticate the request.", http.StatusForbidden)
		return
	}
	vmID, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, bootLogs), "/")
	var log []byte
	if strings.HasSuffix(name, ".serialconsole.log") {
		log = s.cfg.Physical.Console(vmID)
	}
	if log == nil {
		http.Error(w, "BlobNotFound: The specified blob does not exist.", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Write(log)
}
