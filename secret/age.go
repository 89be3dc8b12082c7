package secret

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// Keeper says who can read what leaves the engine's database: those who hold the key to one of the recipients, or who know
// the passphrase. It is one or the other.
type Keeper struct {
	// Recipients are public keys of age, as "age-keygen -y" prints them.
	Recipients []string
	Passphrase string
}

// MinPassphrase is how many bytes a passphrase has at least: age's own are longer.
const MinPassphrase = 12

// workFactor is how hard it is to try a passphrase, as a power of two: age's own choice, about a second.
var workFactor = 18

// Encrypt returns a writer whose Close ends a file of age.
func (k Keeper) Encrypt(w io.Writer) (io.WriteCloser, error) {
	recipients, err := k.recipients()
	if err != nil {
		return nil, err
	}
	return age.Encrypt(w, recipients...)
}

// Check says whether anything can be encrypted for the keeper.
func (k Keeper) Check() error {
	_, err := k.recipients()
	return err
}

func (k Keeper) recipients() ([]age.Recipient, error) {
	switch {
	case k.Passphrase != "" && len(k.Recipients) > 0:
		return nil, errors.New("recipients and a passphrase don't go together: want one or the other")
	case k.Passphrase == "" && len(k.Recipients) == 0:
		return nil, errors.New("nobody could read it: want a recipient, the public key that 'age-keygen' prints, or a passphrase")
	case k.Passphrase != "" && len(k.Passphrase) < MinPassphrase:
		return nil, fmt.Errorf("the passphrase has %d bytes: want %d or more", len(k.Passphrase), MinPassphrase)
	case k.Passphrase != "":
		r, err := age.NewScryptRecipient(k.Passphrase)
		if err != nil {
			return nil, errors.New("the passphrase can't be used")
		}
		r.SetWorkFactor(workFactor)
		return []age.Recipient{r}, nil
	}
	var out []age.Recipient
	for _, text := range k.Recipients {
		if strings.HasPrefix(strings.ToUpper(text), "AGE-SECRET-KEY-") {
			return nil, errors.New("that is a secret key: want the public one beside it, which begins with age1, and keep the secret one to yourself")
		}
		found, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil || len(found) != 1 {
			return nil, fmt.Errorf("recipient %q is no public key of age: want one that begins with age1, as 'age-keygen -y' prints it", text)
		}
		out = append(out, found...)
	}
	return out, nil
}

// ErrReader is wrapped by the errors of files that are encrypted for somebody else.
var ErrReader = errors.New("it is encrypted for another key or passphrase")

// Reader opens what a Keeper encrypted.
type Reader struct {
	// Identities is the text of a file of secret keys, as "age-keygen" writes it.
	Identities string
	Passphrase string
}

// Decrypt returns a reader of what is in a file of age. It ends with an error, not with io.EOF, where the file was cut off or
// altered.
func (r Reader) Decrypt(file io.Reader) (io.Reader, error) {
	var identities []age.Identity
	switch {
	case r.Passphrase != "" && r.Identities != "":
		return nil, errors.New("a file of keys and a passphrase don't go together: want one or the other")
	case r.Passphrase != "":
		i, err := age.NewScryptIdentity(r.Passphrase)
		if err != nil {
			return nil, errors.New("the passphrase can't be used")
		}
		identities = append(identities, i)
	default:
		found, err := age.ParseIdentities(strings.NewReader(r.Identities))
		if err != nil { // it may repeat a key
			return nil, errors.New("the file of keys holds something else: want lines that begin with AGE-SECRET-KEY-, as 'age-keygen' writes them")
		}
		identities = found
	}
	out, err := age.Decrypt(file, identities...)
	if _, other := errors.AsType[*age.NoIdentityMatchError](err); other {
		return nil, ErrReader
	}
	if err != nil {
		return nil, fmt.Errorf("it is no file of age, or its beginning is damaged: %w", err)
	}
	return out, nil
}
