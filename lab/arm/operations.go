package arm

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skyweld/skyweld/lab/internal/backend"
	"github.com/skyweld/skyweld/lab/world"
)

const (
	inProgress = "InProgress"
	succeeded  = "Succeeded"
	failed     = "Failed"
	// keptOperations bounds the list of finished operations; the cloud forgets them after some days.
	keptOperations = 500
	// shortly is how long an answer waits for its operation where the cloud's delays are none.
	shortly = 50 * time.Millisecond
)

// family is how a resource provider shows its operations.
type family string

// The families.
const (
	networkFamily family = "network"
	computeFamily family = "compute"
	diskFamily    family = "disk"
	groupFamily   family = "group"
)

// operation is a write that takes its time.
type operation struct {
	ID     string `json:"id"`
	Family family `json:"family"`
	// Location is where it runs, Target the resource.
	Location string `json:"location"`
	Target   string `json:"target"`
	// Part is the part of Target that goes at its end, if it is only a part.
	Part string `json:"part,omitempty"`
	// Deletes says that the resource goes at its end.
	Deletes bool       `json:"deletes,omitempty"`
	Status  string     `json:"status"`
	Start   string     `json:"start"`
	End     string     `json:"end,omitempty"`
	Error   *errorBody `json:"error,omitempty"`
	// Code is the HTTP status of the error.
	Code int `json:"code,omitempty"`
}

// job is a write that was accepted.
type job struct {
	family   family
	location string
	target   string
	deletes  bool
	// part is what goes of the target, if it is only a part.
	part string
	// took is how long the cloud takes; the profile shortens it.
	took time.Duration
	// work runs when that time has passed, without the lock. Nil when everything was done with the request.
	work func(ctx context.Context) *apiError
	// ended runs at the end, with the lock, whatever came of it; nil when there is nothing to do.
	ended func(failure *apiError)
}

// begin records an operation for a job and begins it. The caller holds the lock and has changed the records as far as the
// change shows at once; they are saved here.
func (s *Service) begin(j job) (*operation, *apiError) {
	if s.closed {
		return nil, refuse(http.StatusServiceUnavailable, "ServerTimeout", "The service is stopping.")
	}
	op := &operation{ID: newUUID(), Family: j.family, Location: j.location, Target: j.target, Part: j.part, Deletes: j.deletes, Status: inProgress, Start: stamp()}
	s.st.Operations[op.ID] = op
	s.busy[key(j.target)] = op.ID
	s.doing[op.ID] = make(chan struct{})
	s.forgetOperations()
	s.save()
	s.wg.Add(1)
	go s.run(op, j)
	return op, nil
}

// run waits the cloud's time, does the work, brings the networks up to date and finishes the operation.
func (s *Service) run(op *operation, j job) {
	defer s.wg.Done()
	s.sleep(j.took)
	var failure *apiError
	if j.work != nil {
		failure = j.work(s.ctx)
	}
	s.mu.Lock()
	freed := s.freed
	s.freed = nil
	s.mu.Unlock()
	if err := s.networks.Sync(s.ctx); err != nil && failure == nil {
		failure = internalError(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Only now no router maps these any more, and another machine may have them.
	for _, a := range freed {
		s.cfg.Pool(a.location).Put(a.address)
	}
	if s.busy[key(j.target)] == op.ID {
		delete(s.busy, key(j.target))
	}
	if j.ended != nil {
		j.ended(failure)
	}
	s.finish(op, failure)
	close(s.doing[op.ID])
	delete(s.doing, op.ID)
	if failure != nil {
		s.log.Info("operation failed", "operation", op.ID, "target", j.target, "code", failure.code, "message", failure.message)
	}
	s.save()
}

// finish ends an operation in the records. The caller holds the lock.
func (s *Service) finish(op *operation, failure *apiError) {
	op.Status, op.End = succeeded, stamp()
	if failure != nil {
		op.Status, op.Error, op.Code = failed, failure.body(), failure.status
	}
}

// sleep waits as long as the cloud would take, cut short when the lab stops.
func (s *Service) sleep(d time.Duration) {
	backend.Pause(s.closing, s.cfg.Profile.Delay(d))
}

// waitShortly gives an operation the chance to be done with the request, where nothing is slow on purpose.
func (s *Service) waitShortly(op *operation) {
	if s.cfg.Profile != world.Instant {
		return
	}
	s.mu.Lock()
	done := s.doing[op.ID]
	s.mu.Unlock()
	if done == nil {
		return
	}
	t := time.NewTimer(shortly)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

func (s *Service) forgetOperations() {
	if len(s.st.Operations) <= keptOperations+100 {
		return
	}
	var done []*operation
	for _, op := range s.st.Operations {
		if op.Status != inProgress {
			done = append(done, op)
		}
	}
	slices.SortFunc(done, func(a, b *operation) int { return strings.Compare(a.Start, b.Start) })
	for _, op := range done[:max(0, len(done)-keptOperations)] {
		delete(s.st.Operations, op.ID)
	}
}

// accepted is the answer to a write that goes on: with the addresses to ask for its state.
func (s *Service) accepted(c *call, status int, op *operation, show func() any) *answer {
	a := &answer{status: status, show: show, header: http.Header{}, op: op}
	version := "?api-version=" + c.q.Get("api-version")
	root := s.cfg.BaseURL() + s.subscriptionPath()
	late := c.r.Method != http.MethodPut && c.r.Method != http.MethodPatch
	switch op.Family {
	case networkFamily:
		place := root + "/providers/Microsoft.Network/locations/" + op.Location
		a.header.Set("Azure-AsyncOperation", place+"/operations/"+op.ID+version)
		if late {
			a.header.Set("Location", place+"/operationResults/"+op.ID+version)
		}
		a.header.Set("Azure-AsyncNotification", "Enabled")
	case computeFamily, diskFamily:
		place := root + "/providers/Microsoft.Compute/locations/" + op.Location + "/operations/" + op.ID + version
		if op.Family == diskFamily {
			place = root + "/providers/Microsoft.Compute/locations/" + op.Location + "/DiskOperations/" + op.ID + version
		}
		a.header.Set("Azure-AsyncOperation", place)
		if late || op.Family == diskFamily {
			a.header.Set("Location", place+"&monitor=true")
		}
	case groupFamily:
		a.header.Set("Location", s.groupJob(op)+version)
	}
	s.setRetryAfter(a.header, retryAfter(op.Family))
	return a
}

// groupJob is where the deletion of a group is asked for. The token in it is the front end's: a name of the job and of
// the place where it runs.
func (s *Service) groupJob(op *operation) string {
	text := fmt.Sprintf(`{"jobId":"RESOURCEGROUPDELETIONJOB-%s","jobLocation":"%s"}`, op.ID, op.Location)
	return s.cfg.BaseURL() + s.subscriptionPath() + "/operationresults/" + base64.RawURLEncoding.EncodeToString([]byte(text))
}

func retryAfter(f family) time.Duration {
	if f == groupFamily {
		return 15 * time.Second
	}
	return 10 * time.Second
}

// setRetryAfter says when to ask again. Azure counts in seconds; where the lab is quicker than that, the header in
// milliseconds says it that some of Azure's services set and all its clients know.
func (s *Service) setRetryAfter(h http.Header, d time.Duration) {
	if d = s.cfg.Profile.Delay(d); d < time.Second {
		d = max(d, 20*time.Millisecond)
		h.Set("X-Ms-Retry-After-Ms", strconv.FormatInt(d.Milliseconds(), 10))
		h.Set("Retry-After-Ms", strconv.FormatInt(d.Milliseconds(), 10))
	}
	h.Set("Retry-After", strconv.Itoa(int((d+time.Second-1)/time.Second)))
}

// operationOf finds the operation that a call asks for. The caller holds the lock.
func (s *Service) operationOf(c *call) (*operation, *apiError) {
	id := c.vars["operationId"]
	op := s.st.Operations[strings.ToLower(id)]
	if op == nil {
		return nil, refuse(http.StatusNotFound, "OperationNotFound", "Operation %s was not found.", id)
	}
	return op, nil
}

// getOperation says how far an operation is: what Azure-AsyncOperation points to.
func (s *Service) getOperation(c *call) (*answer, *apiError) {
	if c.q.Get("monitor") == "true" {
		return s.operationResult(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	op, err := s.operationOf(c)
	if err != nil {
		return nil, err
	}
	a := &answer{status: http.StatusOK, header: http.Header{}}
	if op.Status == inProgress {
		s.setRetryAfter(a.header, retryAfter(op.Family))
	}
	body := map[string]any{"status": op.Status}
	if op.Error != nil {
		body["error"] = op.Error
	}
	if op.Family != networkFamily {
		body["name"], body["startTime"] = op.ID, op.Start
		if op.End != "" {
			body["endTime"] = op.End
		}
	}
	if d := s.st.Disks[key(op.Target)]; op.Family == diskFamily && op.Status == succeeded && d != nil && !op.Deletes {
		body["properties"] = map[string]any{"output": s.diskView(d)}
	}
	a.show = func() any { return body }
	return a, nil
}

// operationResult is what Location points to: 202 while the operation goes on, and then its result.
func (s *Service) operationResult(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op, err := s.operationOf(c)
	if err != nil {
		return nil, err
	}
	return s.resultOf(c, op)
}

func (s *Service) resultOf(c *call, op *operation) (*answer, *apiError) {
	switch {
	case op.Status == inProgress:
		a := &answer{status: http.StatusAccepted, header: http.Header{}}
		here := *c.r.URL
		a.header.Set("Location", s.cfg.BaseURL()+here.RequestURI())
		s.setRetryAfter(a.header, retryAfter(op.Family))
		return a, nil
	case op.Error != nil:
		e := refuse(op.Code, op.Error.Code, "%s", op.Error.Message)
		e.target, e.details = op.Error.Target, op.Error.Details
		return nil, e
	case op.Part != "" || op.Deletes && op.Family != groupFamily:
		return &answer{status: http.StatusNoContent}, nil
	}
	if r := s.find(op.Target); r != nil {
		return shown(http.StatusOK, s.view(r)), nil
	}
	return &answer{status: http.StatusOK}, nil
}

// groupResult is how far the deletion of a group is.
func (s *Service) groupResult(c *call) (*answer, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, _ := base64.RawURLEncoding.DecodeString(c.vars["operationId"])
	for id, op := range s.st.Operations {
		if strings.Contains(string(text), id) {
			return s.resultOf(c, op)
		}
	}
	return nil, refuse(http.StatusNotFound, "OperationNotFound", "The operation was not found.")
}

// free refuses a write to a resource that another operation is working on. Networks and what is in them wait for each
// other's subnets.
func (s *Service) free(id string) *apiError {
	op := s.busy[key(id)]
	if op == "" {
		return nil
	}
	place := ""
	if o := s.st.Operations[op]; o != nil {
		place = s.cfg.BaseURL() + s.subscriptionPath() + "/providers/Microsoft.Network/locations/" + o.Location + "/operations/" + op
	}
	return refuse(http.StatusConflict, "AnotherOperationInProgress",
		"Another operation on this or dependent resource is in progress. To retrieve status of the operation use uri: %s.", place)
}
