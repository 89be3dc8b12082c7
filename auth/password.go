package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// cost is what a guess costs: argon2id's parameters.
type cost struct {
	memory  uint32 // in KiB
	time    uint32
	threads uint8
}

// owasp are those that OWASP's password storage cheat sheet recommends.
var owasp = cost{memory: 19 << 10, time: 2, threads: 1}

// dearest bounds what a stored hash may ask for.
var dearest = cost{memory: 1 << 20, time: 64, threads: 64}

const (
	saltSize = 16
	hashSize = 32
)

// hash returns a password's hash with its parameters, in the form that argon2's reference implementation prints.
func (c cost) hash(password string) string {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	sum := argon2.IDKey([]byte(password), salt, c.time, c.memory, c.threads, hashSize)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.time, c.threads, b64.EncodeToString(salt), b64.EncodeToString(sum))
}

// parseHash takes a hash apart.
func parseHash(text string) (c cost, salt, sum []byte, err error) {
	parts := strings.Split(text, "$")
	bad := func() (cost, []byte, []byte, error) {
		return cost{}, nil, nil, fmt.Errorf("a stored password is not in a form that this program knows")
	}
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return bad()
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.time, &c.threads); n != 3 || err != nil || parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", c.memory, c.time, c.threads) {
		return bad()
	}
	if c.memory < 8 || c.time < 1 || c.threads < 1 || c.memory > dearest.memory || c.time > dearest.time || c.threads > dearest.threads {
		return bad()
	}
	if salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil || len(salt) < 8 {
		return bad()
	}
	if sum, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil || len(sum) < 16 || len(sum) > 64 {
		return bad()
	}
	return c, salt, sum, nil
}

// verify says whether a password has a hash, and whether that was made with other parameters than today's.
func (s *Service) verify(ctx context.Context, password, text string) (right, old bool, err error) {
	c, salt, sum, err := parseHash(text)
	if err != nil {
		return false, false, err
	}
	if err := s.enter(ctx); err != nil {
		return false, false, err
	}
	defer s.leave()
	got := argon2.IDKey([]byte(password), salt, c.time, c.memory, c.threads, uint32(len(sum)))
	return subtle.ConstantTimeCompare(got, sum) == 1, c != s.cost, nil
}

// hash hashes a new password.
func (s *Service) hash(ctx context.Context, password string) (string, error) {
	if err := s.enter(ctx); err != nil {
		return "", err
	}
	defer s.leave()
	return s.cost.hash(password), nil
}

func (s *Service) enter(ctx context.Context) error {
	select {
	case s.hashing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Service) leave() { <-s.hashing }

// The lengths of a password, in bytes.
const (
	ShortestPassword = 12
	LongestPassword  = 1000
)

// CheckPassword says what is wrong with a new password.
func CheckPassword(user, password string) error {
	switch {
	case len(password) < ShortestPassword:
		return refused(http.StatusUnprocessableEntity, "the password is too short: want at least %d bytes", ShortestPassword)
	case len(password) > LongestPassword:
		return refused(http.StatusUnprocessableEntity, "the password is too long: want at most %d bytes", LongestPassword)
	case !utf8.ValidString(password):
		return refused(http.StatusUnprocessableEntity, "the password is not valid UTF-8")
	case strings.EqualFold(password, user), strings.Trim(password, password[:1]) == "":
		return refused(http.StatusUnprocessableEntity, "the password is too easy to guess: want another than the user's name, or one letter again and again")
	}
	return nil
}
