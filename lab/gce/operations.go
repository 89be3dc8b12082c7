package gce

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/lab/internal/backend"
)

const (
	// keptOperations bounds the list of finished operations; the cloud forgets them after some days.
	keptOperations = 500
	// maxWait is how long a wait call blocks, as the API's reference says.
	maxWait = 2 * time.Minute
)

// job is a write that was accepted.
type job struct {
	verb     string // the operation's type: "insert", "delete", "stop"
	target   string // the path of the resource
	targetID uint64
	// took is how long the cloud takes; the profile shortens it.
	took time.Duration
	// doomed says that the operation is known to fail: there is no record to guard.
	doomed bool
	// work runs when that time has passed, without the lock. Nil when everything was done with the request.
	work func(ctx context.Context) *opError
}

// start records an operation for a job and begins it. The caller holds the lock and has changed the records as far as the
// change shows at once; they are saved here.
func (s *Service) start(c *call, j job) (any, *apiError) {
	if s.closed {
		return nil, &apiError{code: http.StatusServiceUnavailable, reason: "backendError", message: "The service is stopping."}
	}
	op := s.newOperation(c, j)
	s.st.Operations[op.SelfLink] = op
	if id := c.q.Get("requestId"); id != "" {
		s.st.Requests[id] = request{Method: c.method.id + " " + c.path, Operation: op.SelfLink}
	}
	if (j.verb == "insert" || j.verb == "delete") && !j.doomed {
		s.busy[j.target] = j.verb
	}
	s.forgetOperations()
	s.save()
	answer := clone(op)
	s.wg.Add(1)
	go s.run(op.SelfLink, j)
	return answer, nil
}

func (s *Service) newOperation(c *call, j job) *compute.Operation {
	var b [8]byte
	rand.Read(b[:])
	now := stamp()
	id := newID()
	name := fmt.Sprintf("operation-%d-%x-%s-%s", time.Now().UnixMilli(), id>>12, hex.EncodeToString(b[:4]), hex.EncodeToString(b[4:]))
	scope := scopeOf(j.target)
	project := "projects/" + s.cfg.Project
	op := &compute.Operation{
		Kind: "compute#operation", Id: id, Name: name, OperationType: j.verb, TargetLink: j.target, TargetId: j.targetID,
		Status: "RUNNING", InsertTime: now, StartTime: now, User: c.user,
		SelfLink: project + "/" + scope + "/operations/" + name,
	}
	switch kind, _, _ := strings.Cut(scope, "/"); kind {
	case "zones":
		op.Zone = project + "/" + scope
	case "regions":
		op.Region = project + "/" + scope
	}
	return op
}

// run waits the cloud's time, does the work, brings the networks up to date and finishes the operation.
func (s *Service) run(path string, j job) {
	defer s.wg.Done()
	s.sleep(j.took)
	var failure *opError
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
		s.putPublic(a.region, a.address)
	}
	if s.busy[j.target] == j.verb && !j.doomed {
		delete(s.busy, j.target)
	}
	if op := s.st.Operations[path]; op != nil {
		finish(op, failure)
	}
	if failure != nil {
		s.log.Info("operation failed", "operation", path, "target", j.target, "code", failure.code, "message", failure.message)
	}
	s.save()
}

func finish(op *compute.Operation, failure *opError) {
	op.Status, op.Progress, op.EndTime = "DONE", 100, stamp()
	if failure != nil {
		op.HttpErrorStatusCode = int64(failure.http)
		op.HttpErrorMessage = strings.ToUpper(http.StatusText(failure.http))
		op.Error = &compute.OperationError{Errors: []*compute.OperationErrorErrors{{Code: failure.code, Message: failure.message}}}
	}
}

// sleep waits as long as the cloud would take, cut short when the lab stops.
func (s *Service) sleep(d time.Duration) {
	backend.Pause(s.closing, s.cfg.Profile.Delay(d))
}

func (s *Service) forgetOperations() {
	if len(s.st.Operations) <= keptOperations+100 {
		return
	}
	var done []*compute.Operation
	for _, op := range s.st.Operations {
		if op.Status == "DONE" {
			done = append(done, op)
		}
	}
	slices.SortFunc(done, func(a, b *compute.Operation) int { return strings.Compare(a.InsertTime, b.InsertTime) })
	for _, op := range done[:max(0, len(done)-keptOperations)] {
		delete(s.st.Operations, op.SelfLink)
	}
	for id, r := range s.st.Requests {
		if s.st.Operations[r.Operation] == nil {
			delete(s.st.Requests, id)
		}
	}
}

// repeated answers a call whose requestId was seen before with the operation that it began then.
func (s *Service) repeated(c *call) (any, *apiError) {
	id := c.q.Get("requestId")
	if id == "" {
		return nil, nil
	}
	if !validUUID(id) {
		return nil, invalidField("requestId", id, "Must be a valid, non-zero UUID.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.st.Requests[id]
	if !ok {
		return nil, nil
	}
	if r.Method != c.method.id+" "+c.path {
		return nil, invalidField("requestId", id, "The request ID was used for another request.")
	}
	return clone(s.st.Operations[r.Operation]), nil
}

func validUUID(id string) bool {
	if len(id) != 36 || id == "00000000-0000-0000-0000-000000000000" {
		return false
	}
	for i, c := range id {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !strings.ContainsRune("0123456789abcdefABCDEF", c) {
			return false
		}
	}
	return true
}

func (s *Service) operationPath(c *call) (string, *apiError) {
	prefix := c.scopePath() + "/operations/"
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.st.Operations[prefix+c.name] != nil {
		return prefix + c.name, nil
	}
	for path, op := range s.st.Operations {
		if strings.HasPrefix(path, prefix) && fmt.Sprint(op.Id) == c.name {
			return path, nil
		}
	}
	return "", notFound(prefix + c.name)
}

// waitOperation blocks until an operation is done, or for two minutes.
func (s *Service) waitOperation(c *call) (any, *apiError) {
	path, apiErr := s.operationPath(c)
	if apiErr != nil {
		return nil, apiErr
	}
	timeout := time.NewTimer(maxWait)
	defer timeout.Stop()
	for over := false; ; {
		s.mu.Lock()
		op, changed := s.st.Operations[path], s.changed
		if op == nil {
			s.mu.Unlock()
			return nil, notFound(path)
		}
		if op.Status == "DONE" || over {
			defer s.mu.Unlock()
			return clone(op), nil
		}
		s.mu.Unlock()
		select {
		case <-changed:
		case <-timeout.C:
			over = true
		case <-s.closing:
			over = true
		case <-c.r.Context().Done():
			over = true
		}
	}
}

func (s *Service) deleteOperation(c *call) (any, *apiError) {
	path, apiErr := s.operationPath(c)
	if apiErr != nil {
		return nil, apiErr
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if op := s.st.Operations[path]; op != nil && op.Status != "DONE" {
		return nil, notReady(path)
	}
	delete(s.st.Operations, path)
	s.save()
	return nil, nil
}
