package aws

import (
	"context"
	"strings"

	"github.com/aws/smithy-go/middleware"

	"github.com/skyweld/skyweld/cloud"
)

// readAgain has calls that only read repeated while EC2 throttles them or is in trouble. All others are tried once.
func readAgain(stack *middleware.Stack) error {
	if !strings.HasPrefix(stack.ID(), "Describe") {
		return nil
	}
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("ReadAgain", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (out middleware.InitializeOutput, meta middleware.Metadata, err error) {
		err = cloud.ReadAgain(ctx, busy, func() error {
			out, meta, err = next.HandleInitialize(ctx, in)
			return err
		})
		return out, meta, err
	}), middleware.Before)
}

// busy says that EC2 answered, and couldn't do it just then.
func busy(err error) bool {
	e := classify(err)
	return e.Code != "" && (e.Class == cloud.Throttled || e.Class == cloud.Unavailable)
}
