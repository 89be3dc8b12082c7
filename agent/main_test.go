package agent

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// asProgram makes the test binary behave like the skyweld program, or like one of two small tools, so that tests can start
// it in namespaces of their own.
const asProgram = "SKYWELD_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "agent":
		os.Exit(Main(context.Background(), os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	case "serve": // tells whoever connects what address it came from
		os.Exit(serveAddress(os.Args[2]))
	case "ask": // connects, for as long as it is told to try, and prints what it hears
		os.Exit(askAddress(os.Args[2:]))
	case "sink": // takes what pour sends, and says how much it was
		os.Exit(sinkAt(os.Args[2]))
	case "pour":
		os.Exit(pourInto(os.Args[2], os.Args[3]))
	case "wireguard":
		os.Exit(runWireguard(os.Args[2]))
	}
	os.Exit(2)
}

func serveAddress(address string) int {
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	for {
		connection, err := listener.Accept()
		if err != nil {
			return 1
		}
		fmt.Fprint(connection, connection.RemoteAddr().(*net.TCPAddr).IP)
		connection.Close()
	}
}

func askAddress(args []string) int {
	patience, err := time.ParseDuration(args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	dialer := net.Dialer{Timeout: patience}
	connection, err := dialer.Dial("tcp4", args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	answer, err := io.ReadAll(connection)
	fmt.Print(string(answer))
	if err != nil {
		return 1
	}
	return 0
}
