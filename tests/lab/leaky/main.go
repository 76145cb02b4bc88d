// Leaky is a Go service that leaks on command, in ways and at rates that are known, or, as its own healthy twin,
// does the same work without a leak.
//
// Each flag can also be given by the environment: -block-rate is LEAKY_BLOCK_RATE. It stops on SIGTERM.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.test/leaky/control"
	"example.test/leaky/debugserver"
	"example.test/leaky/innocent"
	"example.test/leaky/leaks"
	"example.test/leaky/memory"
)

type config struct {
	listen         string
	tls            bool
	pprof          string
	pprofTLS       bool
	pprofOnService bool
	caFile         string
	basicAuth      string
	token          string
	misbehave      string
	leak           string
	rate           float64
	count          int
	twin           bool
	innocents      bool
	fluctuating    int
	goroutines     int
	mutexFraction  int
	blockRate      int
}

func main() {
	log.SetFlags(0) // the journal has the time
	c := parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	runtime.SetMutexProfileFraction(c.mutexFraction)
	runtime.SetBlockProfileRate(c.blockRate)
	if c.innocents {
		innocent.Start(ctx, c.fluctuating)
	}
	innocent.Park(ctx, c.goroutines)
	driver := &control.Driver{Twin: c.twin}
	for _, name := range chosen(c.leak) {
		if err := driver.Start(name, c.rate, c.count); err != nil {
			fail("-leak: %v", err)
		}
	}
	if err := serve(ctx, c, driver); err != nil {
		log.Fatal(err)
	}
}

func parse() config {
	var c config
	flag.StringVar(&c.listen, "listen", "127.0.0.1:8090", "`address` of the service: /, /healthz, /work, /metrics, /truth, /ways, /leak, /stop, /misbehave, /exit")
	flag.BoolVar(&c.tls, "tls", false, "the service speaks HTTPS")
	flag.StringVar(&c.pprof, "pprof", "", "`address` (host:port or unix:///path) of a listener of its own for /debug/pprof/")
	flag.BoolVar(&c.pprofTLS, "pprof-tls", false, "that listener speaks HTTPS")
	flag.BoolVar(&c.pprofOnService, "pprof-on-service", false, "the service's own mux serves /debug/pprof/ too")
	flag.StringVar(&c.caFile, "ca-file", "", "write the CA of the certificates to this `path`")
	flag.StringVar(&c.basicAuth, "basic-auth", "", "`user:password` asked for by /debug/pprof/")
	flag.StringVar(&c.token, "token", "", "bearer `token` asked for by /debug/pprof/")
	flag.StringVar(&c.misbehave, "misbehave", "", "`KIND[:all|:PROFILE,...]` of misbehaviour of /debug/pprof/: "+strings.Join(debugserver.Kinds, ", "))
	flag.StringVar(&c.leak, "leak", "", "`ways` to leak from the start, by name; goroutines: all of them; memory ways are never in it")
	flag.Float64Var(&c.rate, "rate", 1, "how often a `second` each way leaks")
	flag.IntVar(&c.count, "count", 0, "stop each way after this `number`")
	flag.BoolVar(&c.twin, "twin", false, "do the same work and give everything back")
	flag.BoolVar(&c.innocents, "innocents", true, "have what healthy services have: pools, tickers, connections, signal handlers")
	flag.IntVar(&c.fluctuating, "fluctuating", 10, "requests at work at the same time, the `mean`")
	flag.IntVar(&c.goroutines, "goroutines", 0, "park this `number` of goroutines at the start")
	flag.IntVar(&c.mutexFraction, "mutex-fraction", 0, "runtime.SetMutexProfileFraction(`n`)")
	flag.IntVar(&c.blockRate, "block-rate", 0, "runtime.SetBlockProfileRate(`ns`)")
	fromEnvironment()
	flag.Parse()
	if flag.NArg() > 0 {
		fail("unexpected argument %q", flag.Arg(0))
	}
	return c
}

// chosen gives the names in a list; "goroutines" stands for every way to leak a goroutine.
func chosen(list string) []string {
	if list == "goroutines" {
		return leaks.Names()
	}
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

func fail(format string, words ...any) {
	fmt.Fprintf(os.Stderr, "leaky: "+format+"\n", words...)
	os.Exit(2)
}

// fromEnvironment sets flags from LEAKY_*; the command line comes later and wins.
func fromEnvironment() {
	flag.VisitAll(func(f *flag.Flag) {
		name := "LEAKY_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value, ok := os.LookupEnv(name); ok {
			if err := f.Value.Set(value); err != nil {
				fail("%s=%q: %v", name, value, err)
			}
		}
	})
}

// serve runs until ctx is done or a listener fails.
func serve(ctx context.Context, c config, driver *control.Driver) error {
	debug := &debugserver.Server{BasicAuth: c.basicAuth, Token: c.token}
	if err := debug.Misbehave(c.misbehave); err != nil {
		return err
	}
	service := http.NewServeMux()
	driver.Add(service)
	addService(service, debug)
	failed := make(chan error, 2)
	var servers []*http.Server
	begin := func(address string, secure bool, mux *http.ServeMux) error {
		socket, err := open(address)
		if err != nil {
			return err
		}
		server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
		if secure {
			if server.TLSConfig, err = debugserver.Certificate(c.caFile); err != nil {
				return err
			}
		}
		if mux != service {
			debug.Listener(socket)
		}
		servers = append(servers, server)
		log.Printf("listening on %s", address)
		go func() {
			var err error
			if secure {
				err = server.ServeTLS(socket, "", "")
			} else {
				err = server.Serve(socket)
			}
			if mux == service || !errors.Is(err, net.ErrClosed) { // closed: the kind "gone"
				failed <- err
			}
		}()
		return nil
	}
	if c.pprofOnService {
		debug.Add(service)
	}
	if err := begin(c.listen, c.tls, service); err != nil {
		return err
	}
	if c.pprof != "" {
		mux := http.NewServeMux()
		debug.Add(mux)
		if err := begin(c.pprof, c.pprofTLS, mux); err != nil {
			return err
		}
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, server := range servers {
		if err := server.Shutdown(limit); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			log.Print(err)
		}
	}
	log.Print("stopped")
	return nil
}

func open(address string) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(address, "unix://")
	if !isUnix {
		return net.Listen("tcp", address)
	}
	// A socket that a killed service left behind.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", path)
}

func addService(mux *http.ServeMux, debug *debugserver.Server) {
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintln(w, "leaky", runtime.Version())
	})
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/metrics", writeMetrics)
	mux.HandleFunc("/work", doWork)
	mux.HandleFunc("/misbehave", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.Error(w, "POST only", http.StatusMethodNotAllowed)
		} else if err := debug.Misbehave(r.FormValue("kind")); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		} else {
			fmt.Fprintln(w, "ok")
		}
	})
	mux.HandleFunc("/exit", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.Error(w, "POST only", http.StatusMethodNotAllowed)
			return
		}
		fmt.Fprintln(w, "ok")
		time.AfterFunc(50*time.Millisecond, func() { os.Exit(1) })
	})
}

// doWork is a request for the load: ms to wait, kb of memory needed meanwhile, spin ms of CPU.
func doWork(w http.ResponseWriter, r *http.Request) {
	wanted := func(name string, most int) int {
		value, err := strconv.Atoi(r.FormValue(name))
		if err != nil || value < 0 {
			return 0
		}
		return min(value, most)
	}
	release := memory.OfRequest(wanted("kb", 16<<10) << 10)
	defer release()
	spin(time.Duration(wanted("spin", 1000)) * time.Millisecond)
	waitForAnswer(time.Duration(wanted("ms", 60_000)) * time.Millisecond)
	fmt.Fprintln(w, "done")
}

func waitForAnswer(wait time.Duration) {
	answer := make(chan int, 1)
	timer := time.AfterFunc(wait, func() { answer <- 1 })
	defer timer.Stop()
	<-answer
}

func spin(limit time.Duration) {
	for end := time.Now().Add(limit); time.Now().Before(end); {
	}
}
