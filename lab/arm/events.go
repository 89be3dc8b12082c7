package arm

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// scheduledEvents are what is going to happen to a machine, as it may ask.
type scheduledEvents struct {
	Incarnation int              `json:"DocumentIncarnation"`
	Events      []scheduledEvent `json:"Events"`
}

type scheduledEvent struct {
	ID           string   `json:"EventId"`
	Status       string   `json:"EventStatus"`
	Type         string   `json:"EventType"`
	ResourceType string   `json:"ResourceType"`
	Resources    []string `json:"Resources"`
	NotBefore    string   `json:"NotBefore"`
	Description  string   `json:"Description"`
	Source       string   `json:"EventSource"`
	Duration     int      `json:"DurationInSeconds"`
}

// Schedule announces an event ("Reboot", "Redeploy", "Freeze", "Preempt", "Terminate") to the machine of an id, as the
// cloud does before maintenance, and returns the event's id. The event is only announced: it is over when the machine
// says that it may begin, or when its time has come.
func (s *Service) Schedule(machineID, kind string, in time.Duration) (string, error) {
	if !slices.Contains([]string{"Reboot", "Redeploy", "Freeze", "Preempt", "Terminate"}, kind) {
		return "", fmt.Errorf("arm: event: found %q: want Reboot, Redeploy, Freeze, Preempt or Terminate", kind)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.st.Machines[key(machineID)]
	if m == nil {
		return "", fmt.Errorf("arm: no machine has the id %s", machineID)
	}
	e := s.st.Events[m.Properties.VMID]
	if e == nil {
		e = &scheduledEvents{Events: []scheduledEvent{}}
		s.st.Events[m.Properties.VMID] = e
	}
	id := newUUID()
	e.Incarnation++
	e.Events = append(e.Events, scheduledEvent{
		ID: id, Status: "Scheduled", Type: kind, ResourceType: "VirtualMachine", Resources: []string{m.Name}, Source: "Platform", Duration: -1,
		NotBefore: time.Now().Add(in).UTC().Format(http.TimeFormat), Description: "Host server is undergoing maintenance.",
	})
	s.save()
	return id, nil
}

// serveEvents shows a machine what is announced, and takes its word that an event may begin.
func (s *Service) serveEvents(w http.ResponseWriter, r *http.Request, m *machine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.st.Events[m.Properties.VMID]
	if e == nil {
		e = &scheduledEvents{Incarnation: 1, Events: []scheduledEvent{}}
	}
	past := func(v scheduledEvent) bool {
		at, err := time.Parse(http.TimeFormat, v.NotBefore)
		return err == nil && time.Now().After(at)
	}
	if before := len(e.Events); slices.ContainsFunc(e.Events, past) {
		e.Events = slices.DeleteFunc(e.Events, past)
		e.Incarnation += before - len(e.Events)
		s.save()
	}
	switch r.Method {
	case http.MethodGet:
		writeJSON(w, http.StatusOK, e)
	case http.MethodPost:
		var in struct {
			StartRequests []struct {
				EventID string `json:"EventId"`
			}
		}
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&in); err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]any{"error": "Bad request. The body is no JSON object with StartRequests"})
			return
		}
		for _, begin := range in.StartRequests {
			e.Events = slices.DeleteFunc(e.Events, func(v scheduledEvent) bool { return v.ID == begin.EventID })
			e.Incarnation++
		}
		s.save()
		w.WriteHeader(http.StatusOK)
	default:
		writeJSON(w, http.StatusMethodNotAllowed, map[string]any{"error": "Method not allowed"})
	}
}
