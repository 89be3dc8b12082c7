package gcp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"google.golang.org/api/compute/v1"

	"github.com/skyweld/skyweld/cloud"
)

// requestID gives a token the form of a random UUID (RFC 9562, version 4), which the API wants.
func requestID(token string) string {
	b := []byte(token)
	b[12] = '4'
	b[16] = "89ab"[b[16]%4]
	return string(b[:8]) + "-" + string(b[8:12]) + "-" + string(b[12:16]) + "-" + string(b[16:20]) + "-" + string(b[20:])
}

// nextToken follows a token whose operation has come to nothing: Google answers a request id that it has seen within the
// hour with the operation that it began then, also when that failed long ago.
func nextToken(token, operation string) string {
	sum := sha256.Sum256([]byte(token + " " + operation))
	return hex.EncodeToString(sum[:16])
}

// replaySlack is by how much the answer's date, which is in whole seconds, and the operation's time may differ by
// themselves.
const replaySlack = 3 * time.Second

// isReplay says that an operation is of an earlier request with the same id. Both times are of Google's clocks.
func isReplay(op *compute.Operation) bool {
	begun, err := time.Parse(time.RFC3339, op.InsertTime)
	if err != nil {
		return false
	}
	now, err := http.ParseTime(op.Header.Get("Date"))
	return err == nil && now.Sub(begun) > replaySlack
}

// maxReplays bounds how many operations of earlier tries are followed.
const maxReplays = 30

// begin makes something and waits for it. It makes again what an earlier try with the same token failed to make, or what
// was removed since; made asks whether it is there.
func (d *Driver) begin(ctx context.Context, token string, insert func(requestID string) (*compute.Operation, error), made func() error) error {
	for tries := 1; ; tries++ {
		op, err := insert(requestID(token))
		if err != nil {
			return err
		}
		replay, name := isReplay(op), op.Name
		if err = d.wait(ctx, op); err == nil {
			err = made()
		}
		cameToNothing := op.Error != nil || (op.Status == "DONE" && isClass(err, cloud.NotFound))
		if !replay || !cameToNothing || tries == maxReplays {
			return err
		}
		token = nextToken(token, name)
	}
}

// waitPause is between calls of a wait method that came back early, as it does when Google is busy.
const waitPause = time.Second

// wait blocks until an operation is done and returns how it failed, if it did. The operation is filled with its end.
func (d *Driver) wait(ctx context.Context, op *compute.Operation) error {
	for op.Status != "DONE" {
		asked := time.Now()
		next, err := d.waitOnce(ctx, op)
		if err != nil {
			return err
		}
		*op = *next
		if op.Status == "DONE" {
			break
		}
		if err := cloud.Pause(ctx, waitPause-time.Since(asked)); err != nil {
			return err
		}
	}
	return operationError(op)
}

func (d *Driver) waitOnce(ctx context.Context, op *compute.Operation) (*compute.Operation, error) {
	project := d.project
	if p, err := parseID(idOf(op.SelfLink, 0)); err == nil {
		project = p.project
	}
	var next *compute.Operation
	var err error
	switch {
	case op.Zone != "":
		next, err = d.api.ZoneOperations.Wait(project, lastPart(op.Zone), op.Name).Context(ctx).Do()
	case op.Region != "":
		next, err = d.api.RegionOperations.Wait(project, lastPart(op.Region), op.Name).Context(ctx).Do()
	default:
		next, err = d.api.GlobalOperations.Wait(project, op.Name).Context(ctx).Do()
	}
	if isClass(err, cloud.NotFound) {
		// This says nothing about the resource: it must not be taken for the end of a deletion.
		return nil, &cloud.Error{Class: cloud.Unknown, Code: classify(err).Code, Message: "the operation " + op.Name + " is not known any more"}
	}
	return next, err
}

// do waits for the operation that a call has begun.
func (d *Driver) do(ctx context.Context, op *compute.Operation, err error) error {
	if err != nil {
		return err
	}
	return d.wait(ctx, op)
}
