package leaks

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"example.org/dep"
)

func init() {
	limited("http-body", false, leakResponseBody, healthyResponseBody,
		outside("select", "std", "net/http.(*persistConn).readLoop"),
		outside("select", "std", "net/http.(*persistConn).writeLoop"),
		outside("io", "std", "net/http.(*conn).serve"))
	limited("http-timeout", false, leakRequestWithoutTimeout, healthyRequest, own("select"))
	limited("connection", false, leakConnectionNeverClosed, healthyConnection, own("io"))
	register("dependency", true, leakInDependency, healthyDependency,
		outside("select", "dependency", "example.org/dep.(*Watcher).run"))
	register("dependency-call", true, leakCallOfDependency, healthyCallOfDependency, own("chan_receive"))
}

// outside is a site in code that is not this package's.
func outside(class, origin, function string) *site {
	return &site{class: class, origin: origin, function: function}
}

// moves counts a goroutine at a site outside.
func (w *Way) moves(number, by int) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.sites[number].alive += by
}

// peer is the other side of the network ways: in the same process, on loopback.
var peer struct {
	once   sync.Once
	url    string
	plain  net.Listener
	client *http.Client
}

func startPeer() {
	peer.once.Do(func() {
		listener := must(net.Listen("tcp", "127.0.0.1:0"))
		peer.plain = must(net.Listen("tcp", "127.0.0.1:0"))
		peer.url = "http://" + listener.Addr().String()
		peer.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
		mux := http.NewServeMux()
		mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 4096))
		})
		mux.HandleFunc("/never", neverAnswers)
		go func() { log.Print(http.Serve(listener, mux)) }()
		go acceptForever(peer.plain)
	})
}

func must(listener net.Listener, err error) net.Listener {
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

func acceptForever(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		kept.Lock()
		kept.all = append(kept.all, connection)
		kept.Unlock()
	}
}

// kept holds the peer's side of the connections: without it a finalizer closes them.
var kept struct {
	sync.Mutex
	all []net.Conn
}

// leakResponseBody: nobody reads or closes the body, so the connection and its two goroutines stay, and with
// them the one of the server, which is this process too.
func leakResponseBody(w *Way) {
	startPeer()
	response, err := peer.client.Get(peer.url + "/page")
	if err != nil {
		log.Print(err)
		return
	}
	for number := range w.sites {
		w.moves(number, 1)
	}
	_ = response.StatusCode
}

func healthyResponseBody(*Way) {
	startPeer()
	response, err := peer.client.Get(peer.url + "/page")
	if err != nil {
		log.Print(err)
		return
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
}

// leakRequestWithoutTimeout: a client without Timeout and a server that never answers.
func leakRequestWithoutTimeout(w *Way) {
	startPeer()
	go requestWithoutTimeout(w, context.Background())
}

func healthyRequest(w *Way) {
	startPeer()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	go func() {
		defer cancel()
		requestWithoutTimeout(w, ctx)
	}()
}

func requestWithoutTimeout(w *Way, ctx context.Context) {
	defer w.done(0)
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, peer.url+"/never", nil)
	w.blocks(0)
	response, err := peer.client.Do(request)
	if err == nil {
		response.Body.Close()
	}
}

// neverAnswers is no site of its own: a handler whose client is connected and waits is at work, as far as anybody can
// see from outside (a long poll looks like this). The leak is the client's.
func neverAnswers(_ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
}

// leakConnectionNeverClosed: a reader without a deadline, and a peer that is silent. Outside the yardstick: from outside
// nobody can tell it from a connection whose peer will write again, so the tests do not ask for it to be named.
func leakConnectionNeverClosed(w *Way) {
	startPeer()
	connection, err := net.Dial("tcp", peer.plain.Addr().String())
	if err != nil {
		log.Print(err)
		return
	}
	go readConnection(w, connection)
}

func healthyConnection(w *Way) {
	startPeer()
	connection, err := net.Dial("tcp", peer.plain.Addr().String())
	if err != nil {
		log.Print(err)
		return
	}
	_ = connection.SetDeadline(time.Now().Add(20 * time.Millisecond))
	go readConnection(w, connection)
	time.AfterFunc(30*time.Millisecond, closeKept)
}

func readConnection(w *Way, connection net.Conn) {
	defer w.done(0)
	defer connection.Close()
	buffer := make([]byte, 64)
	w.blocks(0)
	_, _ = connection.Read(buffer)
}

// closeKept closes the oldest connection of the peer.
func closeKept() {
	kept.Lock()
	defer kept.Unlock()
	if len(kept.all) > 0 {
		kept.all[0].Close()
		kept.all[0] = nil
		kept.all = kept.all[1:]
	}
}

// leakInDependency: a watcher of a library that nobody closes; no frame of the goroutine is ours.
func leakInDependency(w *Way) {
	dep.NewWatcher(func() { w.moves(0, 1) }, func() { w.moves(0, -1) })
}

func healthyDependency(w *Way) {
	watcher := dep.NewWatcher(func() { w.moves(0, 1) }, func() { w.moves(0, -1) })
	defer watcher.Close()
	work()
}

// leakCallOfDependency: our goroutine waits inside the library.
func leakCallOfDependency(w *Way) {
	answers := make(chan int)
	go awaitAnswer(w, answers)
}

func healthyCallOfDependency(w *Way) {
	answers := make(chan int, 1)
	go awaitAnswer(w, answers)
	answers <- work()
}

func awaitAnswer(w *Way, answers chan int) {
	defer w.done(0)
	w.blocks(0)
	dep.Await(answers)
}
