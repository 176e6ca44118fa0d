// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The environment of the tests: the folder with the tools, which tools/build
// prints; that of Plumbline's own programs, by which a process knows that it is in
// namespaces of its own; Cilium's own chart; and what makes a skipped test a failed one.
const (
	envTools    = "PLUMB_E2E_TOOLS"
	envBinaries = "PLUMB_E2E_BINARIES"
	envChart    = "PLUMB_E2E_CHART"
	envRequire  = "PLUMB_REQUIRE_KERNEL"
)

// nodeAddress is that of the node's only device with one. The API server is
// dialled at it, as an agent does.
const nodeAddress = "192.168.1.10"

// TestMain runs the tests in a network, mount and process namespace of their own:
// every port is free, no packet leaves, and nothing that a test starts or mounts
// outlives them, whatever their end.
func TestMain(m *testing.M) {
	if address := os.Getenv(envDial); address != "" {
		dial(address)
	}
	listing := slices.ContainsFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, "-test.list") })
	inside := os.Getenv(envBinaries) != ""
	if inside {
		must(enter())
	}
	if inside || listing || lacking() != nil {
		os.Exit(m.Run())
	}
	code, err := isolated()
	must(err)
	os.Exit(code)
}

// must ends the tests where they can't begin.
func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(2)
	}
}

// lacking says what these tests would need and don't have.
func lacking() error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("needs root: it makes namespaces, maps and programs"))
	}
	if os.Getenv(envTools) == "" {
		errs = append(errs, fmt.Errorf("needs %s, the folder that tools/build prints: run `make test-e2e`", envTools))
	}
	return errors.Join(errs...)
}

// require skips a test that can't run, or fails it where skipping is forbidden.
func require(t testing.TB) {
	t.Helper()
	err := lacking()
	if err == nil {
		return
	}
	if os.Getenv(envRequire) == "1" {
		t.Fatalf("%v; %s=1 forbids to skip it", err, envRequire)
	}
	t.Skip(err)
}

// isolated builds Plumbline's programs, which needs the network, and runs this
// test binary in namespaces of its own.
func isolated() (int, error) {
	dir, err := os.MkdirTemp("", "plumb-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the controller is not root
		return 0, err
	}
	build := exec.Command("go", "build", "-o", dir, "./cmd/plumb", "./cmd/plumb-agent", "./cmd/plumb-cluster", "./cmd/plumb-render")
	build.Dir = root
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return 0, fmt.Errorf("build plumb and its companions: %w", err)
	}
	chart, err := ciliumChart()
	if err != nil {
		return 0, err
	}
	runtime.LockOSThread() // the child's death signal is about this thread
	command := exec.Command("/proc/self/exe", os.Args[1:]...)
	command.Env = append(os.Environ(), envBinaries+"="+dir, envChart+"="+chart, "TMPDIR="+dir)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	err = command.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// ciliumChart is the folder of the chart of the environments' version, which comes with
// Cilium's Go module.
func ciliumChart() (string, error) {
	away, err := os.MkdirTemp("", "chart") // outside of any module: no go.mod changes
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(away)
	download := exec.Command("go", "mod", "download", "-json", "github.com/cilium/cilium@v1.17.2")
	download.Dir, download.Stderr = away, os.Stderr
	download.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	out, err := download.Output()
	if err != nil {
		return "", fmt.Errorf("download Cilium's chart: %w: %s", err, out)
	}
	var module struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", fmt.Errorf("download Cilium's chart: %w", err)
	}
	if want := "h1:hMahLKho06pzcAk8X+Co7jXhhwrj79rkTsy5FFehr8Q="; module.Sum != want {
		return "", fmt.Errorf("Cilium's chart has the checksum %s, want %s", module.Sum, want)
	}
	return filepath.Join(module.Dir, "install/kubernetes/cilium"), nil
}

// enter makes the new namespaces a node: what this process sees of processes is
// its own, and there is a network with one device.
func enter() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return errors.Join(
		wrap("keep mounts to ourselves", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")),
		wrap("mount /proc", unix.Mount("proc", "/proc", "proc", 0, "")),
		// What a pod finds below /run, Cilium's files and a token, is the tests' own.
		wrap("mount /run", unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=0755")),
		wrap("make a place for tokens", os.MkdirAll(secrets, 0o755)),
		wrap("loopback", netlink.LinkSetUp(lo)),
		wrap("eth0", makeDevice("eth0", nodeAddress+"/24")),
	)
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// makeDevice makes a device that is up. One with an address is the way out: Cilium
// would take it for a native one.
func makeDevice(name, address string) error {
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "p-" + name}); err != nil {
		return err
	}
	device, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	peer, err := netlink.LinkByName("p-" + name)
	if err != nil {
		return err
	}
	if err := errors.Join(netlink.LinkSetUp(peer), netlink.LinkSetUp(device)); err != nil || address == "" {
		return err
	}
	parsed, err := netlink.ParseAddr(address)
	if err != nil {
		return err
	}
	gateway := slices.Clone(parsed.IP.To4())
	gateway[3] = 1
	return errors.Join(netlink.AddrAdd(device, parsed),
		netlink.RouteAdd(&netlink.Route{LinkIndex: device.Attrs().Index, Gw: gateway}))
}
