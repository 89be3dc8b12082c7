package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/skyweld/skyweld/engine"
)

// BackupFor says who can read a backup: the holders of the keys to one of the recipients, or who knows the passphrase.
type BackupFor struct {
	Recipients []string `json:"recipients,omitempty" maxItems:"20" doc:"public keys of age, which begin with age1"`
	Passphrase string   `json:"passphrase,omitempty" maxLength:"1000" doc:"12 bytes or more"`
}

func (s *Server) backup(api huma.API) {
	post(api, "/backup", "Back up all that the engine knows, as a file of age", http.StatusOK, func(ctx context.Context, in *body[BackupFor]) (*huma.StreamResponse, error) {
		keeper := engine.Keeper{Recipients: in.Body.Recipients, Passphrase: in.Body.Passphrase}
		if err := keeper.Check(); err != nil {
			return nil, &engine.Problem{Kind: engine.BadInput, Message: err.Error()}
		}
		return &huma.StreamResponse{Body: func(answer huma.Context) {
			answer.SetHeader("Content-Type", backupType)
			if err := s.engine.Backup(answer.Context(), answer.BodyWriter(), keeper); err != nil {
				panic(http.ErrAbortHandler) // a client sees the answer end before its end, and what it has is no backup
			}
		}}, nil
	}, answers(backupType, "A file of age; it is whole when the answer has its end", &huma.Schema{Type: huma.TypeString, Format: "binary"}))
}

// backupType is what a backup is to HTTP.
const backupType = "application/age"

// Backup writes a backup of all that the engine knows. What was written is whole only when there is no error.
func (c *Client) Backup(ctx context.Context, w io.Writer, keeper BackupFor) error {
	data, err := json.Marshal(keeper)
	if err != nil {
		return err
	}
	req, err := c.request(ctx, http.MethodPost, "/backup", bytes.NewReader(data))
	if err != nil {
		return err
	}
	patient := *c.HTTP
	patient.Timeout = 0 // it takes as long as there is something to write
	resp, err := patient.Do(req)
	if err != nil {
		return c.unanswered(http.MethodGet, err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != backupType {
		return c.refused(resp)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the engine could not finish the backup: its log says why")
		}
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}
