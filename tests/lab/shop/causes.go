package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
)

// shop is the service: its pool, its mutex, what it keeps.
type shop struct {
	db       *sql.DB
	requests durations
	till     sync.Mutex
	sold     int
	stock    [][]*item
	kept     []*os.File
	left     []*sql.Tx
}

type item struct {
	next *item
	name [48]byte
}

func causeNames() []string {
	return []string{"behave", "pool", "idle-tx", "lock", "gc", "files", "upstream", "backlog"}
}

// plant prepares -cause and returns what an order does.
func (s *shop) plant() (func(context.Context) error, error) {
	if s.db == nil && (*cause == "pool" || *cause == "idle-tx") {
		return nil, fmt.Errorf("-cause %s needs -db", *cause)
	}
	switch *cause {
	case "behave", "backlog", "pool":
		return s.ask, nil
	case "files":
		return func(ctx context.Context) error { return wait(ctx, 100*time.Millisecond) }, nil
	case "upstream":
		if *upstream == "" {
			return nil, errors.New("-cause upstream needs -upstream URL")
		}
		return func(context.Context) error { return nil }, nil
	case "lock":
		return s.pay, nil
	case "gc":
		debug.SetGCPercent(2) // 5 was 37 % of the CPU time on a quick, idle machine; 40 % is what counts
		for size := 0; size < *live; size += 1 << 20 {
			s.stock = append(s.stock, items(1<<20))
		}
		return s.waste, nil
	case "idle-tx":
		return s.take, s.leaveOpen()
	}
	return nil, fmt.Errorf("no cause is named %q: there are %v", *cause, causeNames())
}

// ask is an order of one query.
func (s *shop) ask(ctx context.Context) error {
	takes := *query
	if takes == 0 {
		takes = 2 * time.Millisecond
		if *cause == "pool" {
			takes = 200 * time.Millisecond
		}
	}
	if s.db == nil {
		return wait(ctx, takes)
	}
	_, err := s.db.ExecContext(ctx, "SELECT pg_sleep($1)", takes.Seconds())
	return err
}

func wait(ctx context.Context, long time.Duration) error {
	select {
	case <-time.After(long):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pay holds the one mutex that every order needs.
func (s *shop) pay(context.Context) error {
	s.till.Lock()
	defer s.till.Unlock()
	time.Sleep(*hold)
	s.sold++
	return nil
}

// waste allocates what nobody keeps, with pointers that the garbage collector has to follow in what is kept.
func (s *shop) waste(ctx context.Context) error {
	found := items(*allocate)
	if len(found) == 0 {
		return errors.New("nothing was allocated")
	}
	return ctx.Err()
}

func items(size int) []*item {
	found := make([]*item, 0, size/56)
	var last *item
	for len(found) < cap(found) {
		last = &item{next: last}
		found = append(found, last)
	}
	return found
}

// leaveOpen begins transactions that nobody ends: each has locked its row of the table that orders change.
func (s *shop) leaveOpen() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS shop_stock (id int PRIMARY KEY, sold int NOT NULL)",
		"INSERT INTO shop_stock SELECT number, 0 FROM generate_series(1, 100) AS number ON CONFLICT DO NOTHING",
	} {
		if _, err := s.db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	for row := 1; row <= *leave; row++ {
		tx, err := s.db.Begin()
		if err != nil {
			return err
		}
		s.left = append(s.left, tx)
		if _, err := tx.Exec("UPDATE shop_stock SET sold = sold + 1 WHERE id = $1", row); err != nil {
			return err
		}
	}
	return nil
}

// take changes the row that the first of the open transactions has locked.
func (s *shop) take(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, "UPDATE shop_stock SET sold = sold + 1 WHERE id = 1")
	return err
}

// exhaustFiles opens files until only -spare descriptors are left below a soft limit of -files.
func (s *shop) exhaustFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = uint64(*files)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	for {
		file, err := os.Open(os.DevNull)
		if errors.Is(err, syscall.EMFILE) {
			break
		}
		if err != nil {
			return err
		}
		s.kept = append(s.kept, file)
	}
	for count := 0; count < *spare && len(s.kept) > 0; count++ {
		last := len(s.kept) - 1
		_ = s.kept[last].Close()
		s.kept = s.kept[:last]
	}
	return nil
}

// askUpstream makes a client of its own for one request, as too many services do: resolver, connect and TLS each time.
func askUpstream(ctx context.Context) error {
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{}}
	if *upstreamCA != "" {
		text, err := os.ReadFile(*upstreamCA)
		if err != nil {
			return err
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(text)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, *upstream, nil)
	if err != nil {
		return err
	}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20))
	return err
}

// slow accepts one connection, then none for -accept.
type slow struct {
	net.Listener
}

func (s slow) Accept() (net.Conn, error) {
	time.Sleep(*accept)
	return s.Listener.Accept()
}

// slowly gives a listener a backlog of -backlog: listen(2) may be called again on one that listens.
func slowly(listener net.Listener) (net.Listener, error) {
	raw, err := listener.(*net.TCPListener).SyscallConn()
	if err != nil {
		return nil, err
	}
	var failure error
	if err := raw.Control(func(descriptor uintptr) { failure = syscall.Listen(int(descriptor), *backlog) }); err != nil {
		return nil, err
	}
	return slow{listener}, failure
}
