package store

import (
	"context"
	"fmt"
	"time"
)

// Measurement is what machines of this engine measured between two regions, named like "aws/us-east-1".
type Measurement struct {
	A, B string
	At   time.Time
	// Cluster is the UID of the cluster that was made for it.
	Cluster        string
	Sent, Received int
	P50, P99       time.Duration
	// Bits is how many were sent through the tunnel in a second, 0 where that wasn't measured.
	Bits int64
}

const measurementColumns = "a, b, measured, cluster, sent, received, median, tail, bits"

// PutMeasurements keeps measurements of the fence's cluster, each in the place of the one before of the same two regions. Of each
// At is taken as it is; the order of the two regions doesn't matter.
func (s *Store) PutMeasurements(ctx context.Context, fence Fence, all []Measurement) error {
	return s.fenced(ctx, "store what was measured between regions", fence, func(t *tx) error {
		for _, m := range all {
			a, b := min(m.A, m.B), max(m.A, m.B)
			if _, err := t.exec("DELETE FROM measurements WHERE a = $1 AND b = $2", a, b); err != nil {
				return err
			}
			if _, err := t.exec("INSERT INTO measurements ("+measurementColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
				a, b, m.At.UnixMicro(), fence.Cluster, m.Sent, m.Received, m.P50.Microseconds(), m.P99.Microseconds(), m.Bits); err != nil {
				return err
			}
		}
		return nil
	})
}

// ListMeasurements returns the last measurement of each pair of regions, by their names.
func (s *Store) ListMeasurements(ctx context.Context) ([]Measurement, error) {
	all, err := query(ctx, s.db, scanMeasurement, "SELECT "+measurementColumns+" FROM measurements ORDER BY a, b")
	if err != nil {
		return nil, fmt.Errorf("list what was measured between regions: %w", err)
	}
	return all, nil
}

func scanMeasurement(r row) (Measurement, error) {
	var m Measurement
	var at, p50, p99 int64
	err := r.Scan(&m.A, &m.B, &at, &m.Cluster, &m.Sent, &m.Received, &p50, &p99, &m.Bits)
	m.At, m.P50, m.P99 = fromMicros(at), time.Duration(p50)*time.Microsecond, time.Duration(p99)*time.Microsecond
	return m, err
}
