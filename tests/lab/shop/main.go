// Shop is the lab's service whose requests time out, for one reason at a time, which -cause names. It serves the
// metrics that prometheus/client_golang would and a debug listener, and can put a bounded load on itself.
//
// It uses the standard library and, for PostgreSQL, github.com/lib/pq from the distribution's package.
package main

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/lib/pq"
)

var (
	listen     = flag.String("listen", "127.0.0.1:8080", "where orders (/order), /healthz and /metrics are served")
	debugAt    = flag.String("debug", "127.0.0.1:6060", "where /debug/pprof/ is served; empty: nowhere")
	cause      = flag.String("cause", "behave", "why requests are slow: "+strings.Join(causeNames(), ", "))
	dsn        = flag.String("db", "", "URL of a PostgreSQL server; without one behave only waits")
	dbName     = flag.String("db-name", "orders", "label db_name of go_sql_*")
	maxOpen    = flag.Int("max-open", -1, "SetMaxOpenConns; -1: 10, and 2 with -cause pool; 0: unlimited")
	query      = flag.Duration("query", 0, "how long an order's query takes; 0: 2ms, and 200ms with -cause pool")
	leave      = flag.Int("leave", 4, "transactions that -cause idle-tx leaves open, each with a row locked")
	hold       = flag.Duration("hold", 20*time.Millisecond, "how long -cause lock holds its mutex")
	allocate   = flag.Int("allocate", 12<<20, "bytes that an order allocates with -cause gc")
	live       = flag.Int("live", 64<<20, "bytes that stay in use with -cause gc")
	files      = flag.Int("files", 64, "soft limit of descriptors with -cause files")
	spare      = flag.Int("spare", 4, "descriptors that -cause files leaves free")
	upstream   = flag.String("upstream", "", "URL that every order asks over a connection of its own, whatever the cause")
	upstreamCA = flag.String("upstream-ca", "", "file of the CA of -upstream")
	backlog    = flag.Int("backlog", 1, "listen(2) backlog with -cause backlog")
	accept     = flag.Duration("accept", 200*time.Millisecond, "pause before each accept(2) with -cause backlog")
	timeout    = flag.Duration("timeout", 2*time.Second, "context deadline of an order")
	detached   = flag.Bool("detached", false, "an order goes on when its client has left")
	headers    = flag.Duration("read-header-timeout", 5*time.Second, "ReadHeaderTimeout of the service; 0: none")
	body       = flag.Duration("read-timeout", 0, "ReadTimeout of the service; 0: none")
	mutex      = flag.Int("mutex-fraction", 1, "runtime.SetMutexProfileFraction")
	block      = flag.Int("block-rate", 0, "runtime.SetBlockProfileRate")
	auth       = flag.String("metrics-auth", "", "user:password that /metrics asks for")
	noDB       = flag.Bool("no-db-metrics", false, "leave go_sql_* out of /metrics")
	rps        = flag.Float64("load", 0, "orders a second that a process of our own asks for; 0: none")
	forSeconds = flag.Float64("for", 30, "seconds until that load ends, 600 at most")
	workers    = flag.Int("workers", 20, "orders of that load at once")
)

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	if len(os.Args) > 1 && os.Args[1] == "load" {
		if err := loadCommand(os.Args[2:]); err != nil {
			log.Fatal(err)
		}
		return
	}
	flag.Parse()
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// run serves until a signal.
func run() error {
	runtime.SetMutexProfileFraction(*mutex)
	runtime.SetBlockProfileRate(*block)
	shop, err := open()
	if err != nil {
		return err
	}
	work, err := shop.plant()
	if err != nil {
		return err
	}
	orders := http.NewServeMux()
	orders.Handle("/order", shop.measured("/order", work))
	orders.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	orders.Handle("/metrics", guarded(http.HandlerFunc(shop.writeMetrics)))
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	if *cause == "backlog" {
		if listener, err = slowly(listener); err != nil {
			return err
		}
	}
	ended := make(chan error, 2)
	service := &http.Server{Handler: orders, ReadHeaderTimeout: *headers, ReadTimeout: *body}
	go func() { ended <- service.Serve(listener) }()
	if *debugAt != "" {
		debug := http.NewServeMux()
		debug.HandleFunc("/debug/pprof/", pprof.Index)
		debug.HandleFunc("/debug/pprof/profile", pprof.Profile)
		debug.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		debug.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		debug.HandleFunc("/debug/pprof/trace", pprof.Trace)
		server := &http.Server{Addr: *debugAt, Handler: debug, ReadHeaderTimeout: 5 * time.Second}
		go func() { ended <- server.ListenAndServe() }()
	}
	log.Printf("serving %s at %s", *cause, *listen)
	if *rps > 0 {
		if err := startLoad(); err != nil {
			return err
		}
	}
	if *cause == "files" {
		if err := shop.exhaustFiles(); err != nil {
			return err
		}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	select {
	case err := <-ended:
		return err
	case <-signals:
		return nil
	}
}

// open makes the shop and its pool. sql.Open connects to nobody.
func open() (*shop, error) {
	one := &shop{}
	if *dsn == "" {
		return one, nil
	}
	db, err := sql.Open("postgres", *dsn)
	if err != nil {
		return nil, err
	}
	most := *maxOpen
	if most < 0 {
		most = 10
		if *cause == "pool" {
			most = 2
		}
	}
	db.SetMaxOpenConns(most)
	if most > 0 {
		db.SetMaxIdleConns(most)
	}
	one.db = db
	return one, nil
}

// guarded asks for -metrics-auth.
func guarded(next http.Handler) http.Handler {
	if *auth == "" {
		return next
	}
	wanted := "Basic " + base64.StdEncoding.EncodeToString([]byte(*auth))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != wanted {
			w.Header().Set("WWW-Authenticate", `Basic realm="metrics"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// measured answers an order and keeps its duration and status.
func (s *shop) measured(name string, work func(context.Context) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		parent := r.Context()
		if *detached {
			parent = context.Background()
		}
		ctx, cancel := context.WithTimeout(parent, *timeout)
		defer cancel()
		status := http.StatusOK
		err := work(ctx)
		if err == nil && *upstream != "" {
			err = askUpstream(ctx)
		}
		if err != nil {
			status = http.StatusInternalServerError
			if errors.Is(err, context.DeadlineExceeded) {
				status = http.StatusGatewayTimeout
			}
			http.Error(w, err.Error(), status)
		} else {
			fmt.Fprintln(w, "ordered")
		}
		s.requests.observe(name, strconv.Itoa(status), time.Since(begin).Seconds())
	})
}

// startLoad runs this program once more as the client, so that no goroutine or descriptor of the load is the service's.
func startLoad() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(*listen)
	if err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(*listen)
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}
	command := exec.Command(program, "load", "-rps", fmt.Sprint(*rps), "-for", fmt.Sprint(*forSeconds),
		"-workers", fmt.Sprint(*workers), fmt.Sprintf("-fresh=%v", *cause == "files" || *cause == "backlog"),
		"http://"+net.JoinHostPort(host, port)+"/order")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	// Nothing of the load outlives the service.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // Pdeathsig is about the thread that started it (prctl(2))
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait()
		}
	}()
	return <-started
}
