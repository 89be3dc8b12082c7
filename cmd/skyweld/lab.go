package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/skyweld/skyweld/lab"
	"github.com/skyweld/skyweld/lab/fault"
	"github.com/skyweld/skyweld/lab/world"
)

// labPatience is how long a lab may take to start in the background, or to stop.
const labPatience = 3 * time.Minute

func labCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "lab", DisableFlagsInUseLine: true, RunE: group, Short: "Emulated clouds on this machine, to try it without accounts",
		Long: `The lab emulates the clouds' own APIs on loopback, and what they create is real: machines are Linux namespaces that run
real Kubernetes. Nothing leaves this machine. It is no security boundary: its machines run as root on this one.`,
		Example: "  sudo skyweld lab start --detach\n  eval \"$(sudo skyweld lab env)\"      # in every terminal that is to use it\n  aws ec2 describe-vpcs\n  skyweld serve                        # then go on as 'skyweld --help' tells\n  sudo skyweld lab stop",
	}
	var dir string
	c.PersistentFlags().StringVar(&dir, "dir", defaultLabDir(), "`FOLDER` of the lab; each is a lab of its own")
	c.PersistentFlags().Lookup("dir").DefValue = "$SKYWELD_LAB_DIR, else the engine's default folder with -lab after it"
	complete(c, "dir", folders)
	c.AddCommand(labStart(&dir), labStop(&dir), labStatus(&dir), labEnv(&dir), labFault(&dir))
	return c
}

func defaultLabDir() string {
	if d := os.Getenv("SKYWELD_LAB_DIR"); d != "" {
		return d
	}
	return defaultDir() + "-lab"
}

func labStart(dir *string) *cobra.Command {
	var profile, bundle, logLevel string
	var detach bool
	c := &cobra.Command{
		Use: "start", Short: "Start the lab", Args: args(),
		Long:    `Start the lab. With --detach it returns when the lab is ready, and leaves it running; without, it stays in the foreground until Ctrl-C. It needs root. What an earlier lab in the same folder held is there again: records, disks, and machines, which boot.`,
		Example: "  sudo skyweld lab start --detach\n  sudo skyweld lab start --detach --profile instant --dir /var/tmp/second-lab",
		RunE: func(c *cobra.Command, _ []string) error {
			p := world.Profile(profile)
			if p != world.Instant && p != world.Fast && p != world.RealTime {
				return usageError{fmt.Errorf("--profile: found %q: want instant, fast or real", profile)}
			}
			log, err := newLog(logLevel)
			if err != nil {
				return err
			}
			if !c.Flags().Changed("bundle") {
				bundle = findBundle()
			}
			if detach {
				return startDetached(c.Context(), c.OutOrStdout(), *dir, profile, bundle, logLevel)
			}
			l, err := lab.Start(c.Context(), lab.Options{Dir: *dir, Profile: p, Bundle: bundle, Log: log})
			if err != nil {
				return err
			}
			log.Info("the lab is ready", "dir", *dir, "profile", profile, "bundle", bundle)
			<-c.Context().Done()
			log.Info("stopping the lab")
			return l.Close()
		},
	}
	c.Flags().StringVar(&profile, "profile", "fast", "how slow the clouds are: instant (they don't wait), fast (seconds) or real (as measured)")
	c.Flags().StringVar(&bundle, "bundle", "", "`FOLDER` of the node programs that machines install, \"\" for none (default: what 'make bundle' built)")
	c.Flags().StringVar(&logLevel, "log-level", "info", "how much is logged: debug, info, warn or error")
	c.Flags().BoolVar(&detach, "detach", false, "return when the lab is ready, and leave it running")
	return c
}

// findBundle is where 'make bundle' puts its newest work; empty when there is none.
func findBundle() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(cache, "skyweld", "bundle", "latest"))
	if err != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil {
		return ""
	}
	return dir
}

// startDetached runs the lab as a process of its own and waits until it is ready.
func startDetached(ctx context.Context, out io.Writer, dir, profile, bundle, logLevel string) error {
	if os.Geteuid() != 0 {
		return errors.New("the lab needs root, because its machines are Linux namespaces: run it with sudo")
	}
	if i, err := lab.Read(dir); err == nil && i.PID != 0 {
		fmt.Fprintf(out, "a lab is running in %s already (process %d)\n", dir, i.PID)
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	logName := filepath.Join(dir, "lab.log")
	log, err := os.OpenFile(logName, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(self, "lab", "start", "--dir", dir, "--profile", profile, "--bundle", bundle, "--log-level", logLevel)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	deadline := time.After(labPatience)
	for {
		select {
		case err := <-ended:
			text, _ := os.ReadFile(logName)
			return fmt.Errorf("the lab did not start (%w):\n%s", err, strings.TrimSpace(string(text)))
		case <-deadline:
			return fmt.Errorf("the lab was not ready after %s; its log is %s", labPatience, logName)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), cmd.Process.Signal(syscall.SIGTERM))
		case <-time.After(100 * time.Millisecond):
		}
		if i, err := lab.Read(dir); err == nil && i.PID == cmd.Process.Pid {
			fmt.Fprintf(out, "the lab is ready in %s (process %d)\nTo use it in a terminal: eval \"$(skyweld lab env --dir %s)\"\n", dir, i.PID, dir)
			return nil
		}
	}
}

func labStop(dir *string) *cobra.Command {
	var purge bool
	c := &cobra.Command{
		Use: "stop", Short: "Stop the lab; --purge removes it", Args: args(),
		Long:    "Stop the lab and wait until nothing of it runs. Its records and disks stay in its folder for the next start; with --purge the folder goes, too.",
		Example: "  sudo skyweld lab stop\n  sudo skyweld lab stop --purge",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), labPatience)
			defer cancel()
			err := lab.Stop(ctx, *dir)
			if err != nil {
				return noLab(*dir, err)
			}
			if purge {
				if err := os.RemoveAll(*dir); err != nil {
					return err
				}
			}
			fmt.Fprintf(c.OutOrStdout(), "the lab in %s is stopped\n", *dir)
			return nil
		},
	}
	c.Flags().BoolVar(&purge, "purge", false, "remove the lab's folder too: all records and disks")
	return c
}

func labStatus(dir *string) *cobra.Command {
	s := &settings{}
	c := &cobra.Command{
		Use: "status", Short: "Say whether the lab runs, and where", Args: args(),
		Long:    "Say whether the lab runs, since when and with which profile, what goes wrong in it on request, and which traffic crossed its internet. The exit code is 1 when there is no lab in the folder.",
		Example: "  sudo skyweld lab status\n  sudo skyweld lab status -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			i, err := lab.Read(*dir)
			if err != nil {
				return noLab(*dir, err)
			}
			state := map[string]any{"dir": *dir, "name": i.Name, "running": i.PID != 0, "pid": i.PID, "profile": i.Profile, "started": i.Started}
			var traffic []lab.Traffic
			var faults []fault.Rule
			if i.PID != 0 {
				if faults, err = lab.ListFaults(c.Context(), *dir); err != nil {
					return err
				}
				state["faults"] = faults
				if traffic, err = lab.AskTraffic(c.Context(), *dir); err != nil {
					return err
				}
				state["traffic"] = traffic
			}
			return s.print(c.OutOrStdout(), state, func(w io.Writer) {
				if i.PID == 0 {
					fmt.Fprintf(w, "the lab in %s is stopped\n", *dir)
					return
				}
				fmt.Fprintf(w, "the lab in %s runs\n", *dir)
				row(w, "process", i.PID)
				row(w, "profile", i.Profile)
				row(w, "up for", age(i.Started))
				row(w, "namespaces", i.Name+"-*")
				if len(faults) > 0 {
					fmt.Fprintln(w, "\nfaults on request:")
					faultTable(w, faults)
				}
				if len(traffic) > 0 {
					fmt.Fprintln(w, "\nwhat crossed its internet:")
					row(w, "FROM", "TO", "PROTOCOL", "PORT", "PACKETS", "BYTES")
				}
				for _, t := range traffic {
					row(w, t.From, t.To, t.Protocol, t.Port, t.Packets, t.Bytes)
				}
			})
		},
	}
	outputFlag(c, s)
	return c
}

// noLab explains why a lab's folder couldn't be read. What root started isn't in an ordinary user's folder, nor open to
// them.
func noLab(dir string, err error) error {
	switch root := os.Geteuid() == 0; {
	case errors.Is(err, fs.ErrPermission) && !root:
		return fmt.Errorf("the lab in %s belongs to root: use sudo", dir)
	case errors.Is(err, fs.ErrNotExist) && root:
		return fmt.Errorf("there is no lab in %s: start one with 'skyweld lab start', or name its folder with --dir", dir)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no lab in %s: start one with 'sudo skyweld lab start'; if it was, use sudo here too, or name its folder with --dir", dir)
	}
	return err
}

// withoutProxy writes shell lines that add hosts to those reached without a proxy, once, and keep what is there. Programs
// read the one variable or the other.
func withoutProxy(hosts string) string {
	var b strings.Builder
	for _, v := range [][2]string{{"NO_PROXY", "no_proxy"}, {"no_proxy", "NO_PROXY"}} {
		fmt.Fprintf(&b, "%s=\"${%s:-${%s-}}\"\n", v[0], v[0], v[1])
		fmt.Fprintf(&b, "case \",$%s,\" in *',%s,'*|',*,') ;; *) %s=\"${%s:+$%s,}%s\" ;; esac\n", v[0], hosts, v[0], v[0], v[0], hosts)
	}
	return b.String() + "export NO_PROXY no_proxy\n"
}

func labEnv(dir *string) *cobra.Command {
	return &cobra.Command{
		Use: "env", Short: "Print shell exports that point tools and skyweld at the lab", Args: args(),
		Long:    `Print lines for a shell that point programs at the lab: addresses and credentials for aws, gcloud, doctl and the SDKs of all four clouds, and for 'skyweld serve' and 'skyweld account add' also the proxy to the lab's machines and the bundle that they install. Evaluate them in every terminal that is to use the lab. doctl can only be told to trust the lab's certificate by SSL_CERT_FILE, which all programs heed: set it to the lab's ca.pem for that command alone.`,
		Example: "  eval \"$(sudo skyweld lab env)\"\n  eval \"$(sudo skyweld lab env --dir /var/tmp/second-lab)\"",
		RunE: func(c *cobra.Command, _ []string) error {
			i, err := lab.Read(*dir)
			if err != nil {
				return noLab(*dir, err)
			}
			abs, err := filepath.Abs(*dir)
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), "unset AWS_PROFILE AWS_SESSION_TOKEN AZURE_TOKEN_CREDENTIALS REQUESTS_CA_BUNDLE CURL_CA_BUNDLE")
			for _, v := range i.Env(abs) {
				if v[0] == "NO_PROXY" {
					fmt.Fprint(c.OutOrStdout(), withoutProxy(v[1]))
					continue
				}
				fmt.Fprintf(c.OutOrStdout(), "export %s='%s'\n", v[0], strings.ReplaceAll(v[1], "'", `'\''`))
			}
			return nil
		},
	}
}
