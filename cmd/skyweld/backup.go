package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/api"
	"github.com/skyweld/skyweld/secret"
	"github.com/skyweld/skyweld/store"
)

func backupCommand(s *settings) *cobra.Command {
	var to, passphrase string
	var recipients []string
	c := &cobra.Command{
		Use: "backup -o FILE", Short: "Write all that the engine knows into an encrypted file", Args: args(), SuggestFor: []string{"export", "dump", "save"},
		Long: `Write all that the engine knows into one file: clusters, accounts with their credentials, the clusters' keys, the ledger of what is in the accounts, the history. The engine goes on meanwhile; the file holds one moment.

The file is encrypted by the engine with age (age-encryption.org), for the recipients or with the passphrase given: whoever can open it has all credentials in it. The master key isn't in it and isn't needed to restore it. Keep the key or the passphrase elsewhere than the file, and off this machine.

'skyweld restore' reads it, into SQLite or PostgreSQL, whichever it came from. Nothing is overwritten: a FILE that exists is an error.`,
		Example: `  age-keygen -o key.txt                         # once; keep it elsewhere
  skyweld backup -o skyweld.age --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
  skyweld backup -o - --passphrase-file pass | ssh backup 'cat > skyweld.age'`,
		RunE: func(c *cobra.Command, _ []string) error {
			if to == "" {
				return usageError{errors.New("-o is missing: name the file to write, or - for standard output")}
			}
			keeper := api.BackupFor{Recipients: recipients}
			if (passphrase == "") == (len(recipients) == 0) {
				return usageError{errors.New("want --recipient or --passphrase-file, one of the two: it says who can read the backup")}
			}
			var err error
			if passphrase != "" {
				if keeper.Passphrase, err = readPassphrase(passphrase); err != nil {
					return err
				}
			}
			client, err := s.client()
			if err != nil {
				return err
			}
			if to == "-" {
				if writesTerminal(c.OutOrStdout()) {
					return usageError{errors.New("-o -: a backup is no text for a terminal: name a file, or pipe it on")}
				}
				return client.Backup(c.Context(), c.OutOrStdout(), keeper)
			}
			size, err := writeBackup(c.Context(), to, func(ctx context.Context, w io.Writer) error { return client.Backup(ctx, w, keeper) })
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %s, encrypted; 'skyweld restore %s' reads it\n", to, bytesText(size), to)
			return nil
		},
	}
	c.Flags().StringVarP(&to, "output", "o", "", "`FILE` to write; - for standard output")
	c.Flags().StringArrayVar(&recipients, "recipient", nil, "public `KEY` of age, which begins with age1; can be given more than once")
	c.Flags().StringVar(&passphrase, "passphrase-file", "", "`FILE` whose first line is the passphrase, 12 bytes or more; - for standard input")
	return c
}

// writeBackup writes a file that is there only when it is whole.
func writeBackup(ctx context.Context, name string, write func(context.Context, io.Writer) error) (size int64, err error) {
	if _, err := os.Lstat(name); err == nil {
		return 0, fmt.Errorf("-o: %s exists already, and nothing is overwritten: name another file", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*.part") // made with mode 0600
	if err != nil {
		return 0, fmt.Errorf("-o: %s can't be written: %w", name, err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := write(ctx, f); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Link(f.Name(), name) // unlike renaming, it overwrites nothing
	}
	if err != nil {
		return 0, fmt.Errorf("-o: %s can't be written: %w", name, err)
	}
	return info.Size(), nil
}

func bytesText(n int64) string {
	if n < 10<<10 {
		return fmt.Sprintf("%d bytes", n)
	}
	if n < 10<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// readPassphrase reads the first line of a file.
func readPassphrase(name string) (string, error) {
	data, err := os.ReadFile(name)
	if name == "-" {
		data, err = io.ReadAll(os.Stdin)
	}
	if err != nil {
		return "", fmt.Errorf("--passphrase-file: %w", err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", fmt.Errorf("--passphrase-file: the first line of %s is empty: want the passphrase", name)
	}
	return line, nil
}

func restoreCommand(s *settings) *cobra.Command {
	var identities, passphrase, database string
	c := &cobra.Command{
		Use: "restore FILE", Short: "Make an engine's folder and database from a backup", Args: args("FILE"), SuggestFor: []string{"import", "load"},
		Long: `Read a file that 'skyweld backup' wrote into the folder of an engine that doesn't run yet, and its database, which must hold nothing. The whole file is checked before anything is written; one that was cut off or altered is refused. Secrets are encrypted anew with the master key of this folder, which is made where there is none.

All clusters are paused then, but for those that were being deleted. Two engines with the same clusters would undo each other's work, and none can see the other: make sure that the engine the backup is from will not run again, then start this one with 'skyweld serve' and let it go on with 'skyweld reconcile resume CLUSTER'. What changed since the backup is found by looking: what is gone is made again, and what was made in between is named in the plan's notes and left alone.`,
		Example: `  skyweld restore skyweld.age --identity-file key.txt
  skyweld restore skyweld.age --passphrase-file pass --database postgres://skyweld@db/skyweld`,
		RunE: func(c *cobra.Command, a []string) error {
			if (passphrase == "") == (identities == "") {
				return usageError{errors.New("want --identity-file or --passphrase-file, one of the two: it opens the backup")}
			}
			var reader secret.Reader
			var err error
			if passphrase != "" {
				reader.Passphrase, err = readPassphrase(passphrase)
			} else {
				reader.Identities, err = readIdentities(identities)
			}
			if err != nil {
				return err
			}
			b, err := restore(c.Context(), s.dir, database, a[0], reader)
			if err != nil {
				return err
			}
			sayRestored(c.OutOrStdout(), s.dir, b)
			return nil
		},
	}
	c.Flags().StringVar(&identities, "identity-file", "", "`FILE` with the secret key of a recipient, as age-keygen writes it")
	c.Flags().StringVar(&passphrase, "passphrase-file", "", "`FILE` whose first line is the passphrase; - for standard input")
	c.Flags().StringVar(&database, "database", "", "PostgreSQL `URL`, or a SQLite file (default: skyweld.db in the folder)")
	return c
}

func readIdentities(name string) (string, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("--identity-file: %w", err)
	}
	return string(data), nil
}

// restore checks a backup, and writes it into a folder that no engine uses.
func restore(ctx context.Context, dir, database, name string, reader secret.Reader) (store.Backup, error) {
	open := func() (io.ReadCloser, error) {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no file %s", name)
		}
		return f, err
	}
	file, err := open()
	if err != nil {
		return store.Backup{}, err
	}
	defer file.Close()
	b, err := store.CheckBackup(file, reader)
	if err != nil {
		return b, fmt.Errorf("%s: nothing was written: %w", name, err)
	}
	if err := makeFolder(dir); err != nil {
		return b, err
	}
	_, unlock, err := engineName(dir)
	if err != nil {
		return b, err
	}
	defer unlock()
	where, fresh := databaseOf(dir, database)
	box, err := secret.Load(os.Getenv, filepath.Join(dir, keyFile), fresh)
	if err != nil {
		return b, err
	}
	return b, store.Restore(ctx, where, box, b, open, reader)
}

func sayRestored(w io.Writer, dir string, b store.Backup) {
	fmt.Fprintf(w, "restored the backup of %s into %s: %s, %s\n", b.Made.UTC().Format(time.RFC3339), dir, counted(len(b.Clusters), "cluster"), counted(len(b.Accounts), "account"))
	if len(b.Clusters) == 0 {
		return
	}
	fmt.Fprintf(w, "Its clusters are paused. Make sure that the engine the backup is from will not run again: two would undo each other's work. Then:\n  skyweld serve --dir %s\n", dir)
	for _, name := range b.Clusters {
		fmt.Fprintf(w, "  skyweld reconcile resume %s\n", name)
	}
}
