// Labsvc is a small Go service whose faults are switched on by flags.
//
// Each flag can also be given by the environment: -open-files is LABSVC_OPEN_FILES.
// It logs to standard error and stops on SIGTERM.
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
	"strings"
	"sync"
	"syscall"
	"time"
)

type config struct {
	listen         string
	tls            bool
	metricsOnly    string
	pprof          string
	pprofTLS       bool
	pprofOnService bool
	expvar         string
	basicAuth      string
	openFiles      int
}

// held keeps what a fault took from being collected, and so from being given back.
var held struct {
	files []*os.File
}

func main() {
	log.SetFlags(0) // the journal has the time
	c := parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	openFiles(c.openFiles)
	if err := serve(ctx, listeners(c)); err != nil {
		log.Fatal(err)
	}
}

func parse() config {
	var c config
	flag.StringVar(&c.listen, "listen", "127.0.0.1:8080", "`address` of the service: /, /healthz, /metrics")
	flag.BoolVar(&c.tls, "tls", false, "the service speaks HTTPS with a certificate made at the start")
	flag.StringVar(&c.metricsOnly, "metrics-only", "", "`address` of one more listener with /metrics and nothing else")
	flag.StringVar(&c.pprof, "pprof", "", "`address` (host:port or unix:///path) of a listener of its own for /debug/pprof/")
	flag.BoolVar(&c.pprofTLS, "pprof-tls", false, "that listener speaks HTTPS")
	flag.BoolVar(&c.pprofOnService, "pprof-on-service", false, "the service's own mux serves /debug/pprof/ too")
	flag.StringVar(&c.expvar, "expvar", "", "which `mux` serves /debug/vars: service or pprof")
	flag.StringVar(&c.basicAuth, "basic-auth", "", "`user:password` asked for in front of everything below /debug/")
	flag.IntVar(&c.openFiles, "open-files", 0, "keep this `number` of descriptors open")
	fromEnvironment()
	flag.Parse()
	switch {
	case flag.NArg() > 0:
		fail("unexpected argument %q", flag.Arg(0))
	case c.expvar != "" && c.expvar != "service" && c.expvar != "pprof":
		fail("-expvar %q: service or pprof", c.expvar)
	case c.expvar == "pprof" && c.pprof == "":
		fail("-expvar pprof needs -pprof")
	case c.basicAuth != "" && !strings.Contains(c.basicAuth, ":"):
		fail("-basic-auth wants user:password")
	}
	return c
}

func fail(format string, words ...any) {
	fmt.Fprintf(os.Stderr, "labsvc: "+format+"\n", words...)
	os.Exit(2)
}

// fromEnvironment sets flags from LABSVC_*; the command line comes later and wins.
func fromEnvironment() {
	flag.VisitAll(func(f *flag.Flag) {
		name := "LABSVC_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value, ok := os.LookupEnv(name); ok {
			if err := f.Value.Set(value); err != nil {
				fail("%s=%q: %v", name, value, err)
			}
		}
	})
}

type listener struct {
	address string
	tls     bool
	handler http.Handler
}

// listeners gives every listener a mux of its own. http.DefaultServeMux, which the imports of
// net/http/pprof and expvar fill, is served nowhere.
func listeners(c config) []listener {
	service := http.NewServeMux()
	service.HandleFunc("/", index)
	service.HandleFunc("/healthz", healthz)
	service.HandleFunc("/metrics", metrics)
	if c.pprofOnService {
		addPprof(service, c.basicAuth)
	}
	if c.expvar == "service" {
		addExpvar(service, c.basicAuth)
	}
	all := []listener{{c.listen, c.tls, service}}
	if c.pprof != "" {
		debug := http.NewServeMux()
		addPprof(debug, c.basicAuth)
		if c.expvar == "pprof" {
			addExpvar(debug, c.basicAuth)
		}
		all = append(all, listener{c.pprof, c.pprofTLS, debug})
	}
	if c.metricsOnly != "" {
		only := http.NewServeMux()
		only.HandleFunc("/metrics", metrics)
		all = append(all, listener{c.metricsOnly, false, only})
	}
	return all
}

// serve runs until ctx is done or a listener fails.
func serve(ctx context.Context, all []listener) error {
	failed := make(chan error, len(all))
	var servers []*http.Server
	for _, l := range all {
		socket, err := open(l.address)
		if err != nil {
			return err
		}
		server := &http.Server{Handler: l.handler, ReadHeaderTimeout: 5 * time.Second}
		if l.tls {
			if server.TLSConfig, err = selfSigned(); err != nil {
				return err
			}
		}
		servers = append(servers, server)
		log.Printf("listening on %s", l.address)
		go func() {
			if server.TLSConfig != nil {
				failed <- server.ServeTLS(socket, "", "")
			} else {
				failed <- server.Serve(socket)
			}
		}()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var group sync.WaitGroup
	for _, server := range servers {
		group.Add(1)
		go func(server *http.Server) {
			defer group.Done()
			if err := server.Shutdown(limit); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				log.Print(err)
			}
		}(server)
	}
	group.Wait()
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

// openFiles takes descriptors, and says so where the limit came first.
func openFiles(number int) {
	for len(held.files) < number {
		file, err := os.Open(os.DevNull)
		if err != nil {
			log.Printf("%d of %d files open: %v", len(held.files), number, err)
			return
		}
		held.files = append(held.files, file)
	}
}

func index(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		http.NotFound(w, r)
		return
	}
	fmt.Fprintln(w, "labsvc", runtime.Version())
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "ok")
}

// metrics writes Prometheus' text format by hand: the service uses the standard library only.
func metrics(w http.ResponseWriter, _ *http.Request) {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	fmt.Fprintf(w, "# TYPE go_goroutines gauge\ngo_goroutines %d\n", runtime.NumGoroutine())
	fmt.Fprintf(w, "# TYPE go_memstats_heap_alloc_bytes gauge\ngo_memstats_heap_alloc_bytes %d\n", memory.HeapAlloc)
	fmt.Fprintf(w, "# TYPE go_info gauge\ngo_info{version=%q} 1\n", runtime.Version())
}
