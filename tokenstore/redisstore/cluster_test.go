//go:build unix

package redisstore_test

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/testenv"
	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/redisstore"
)

// startServer starts a Redis of the test's own, without a disk, and returns its
// address. It ends with the test.
func startServer(t *testing.T, args ...string) string {
	t.Helper()
	path := testenv.Tool(t, "redis-server")
	port := freePort(t)
	cmd := exec.Command(path, append([]string{"--bind", "127.0.0.1", "--port", fmt.Sprint(port), "--save", "", "--appendonly", "no", "--dir", t.TempDir()}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	c := redis.NewClient(&redis.Options{Addr: addr})
	defer c.Close()
	for range 100 {
		if c.Ping(t.Context()).Err() == nil {
			return addr
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s does not answer at %s", path, addr)
	return ""
}

// freePort returns a port that is free, and so is the one that a cluster's servers
// use among themselves, 10000 above it.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := ln.Addr().(*net.TCPAddr).Port
		ln.Close()
		if port > 55000 {
			continue
		}
		if bus, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+10000)); err == nil {
			bus.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// startCluster starts three masters.
func startCluster(t *testing.T) *redis.ClusterClient {
	t.Helper()
	cli := testenv.Tool(t, "redis-cli")
	var addrs []string
	for range 3 {
		addrs = append(addrs, startServer(t, "--cluster-enabled", "yes"))
	}
	out, err := exec.Command(cli, slices.Concat([]string{"--cluster", "create"}, addrs, []string{"--cluster-yes"})...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { c.Close() })
	for range 100 {
		if c.ClusterInfo(t.Context()).Err() == nil && strings.Contains(c.ClusterInfo(t.Context()).Val(), "cluster_state:ok") {
			return c
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the cluster does not come up")
	return nil
}

func TestStore_on_a_cluster(t *testing.T) {
	c := startCluster(t)
	s, err := redisstore.New(redisstore.Config{Client: c, Lease: testLease})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	var all []string
	var wg sync.WaitGroup
	for i := range 30 {
		key := fmt.Sprintf("key%d{tag%d}", i, i%7) // braces have a meaning in a cluster
		all = append(all, key)
		for range 2 {
			wg.Go(func() {
				if err := s.Update(ctx, key, func(_ context.Context, old []byte) ([]byte, error) { return append(old, key...), nil }); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	for _, key := range all {
		if got, err := s.Load(ctx, key); err != nil || string(got) != key+key {
			t.Errorf("Load of %s = %q, %v", key, got, err)
		}
	}
	used := 0
	c.ForEachMaster(ctx, func(ctx context.Context, m *redis.Client) error {
		if m.DBSize(ctx).Val() > 0 {
			used++
		}
		return nil
	})
	if used < 2 {
		t.Errorf("the keys are on %d masters: that was no test", used)
	}
	var keys []string
	for key, err := range s.Keys(ctx) {
		if err != nil {
			t.Error(err)
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	slices.Sort(all)
	if !slices.Equal(keys, all) {
		t.Errorf("Keys = %q", keys)
	}
	for _, key := range all {
		if err := s.Delete(ctx, key); err != nil {
			t.Error(err)
		}
	}
	if n := c.DBSize(ctx).Val(); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

// A server that is started again has lost everything, its scripts too.
func TestStore_whose_server_forgets(t *testing.T) {
	c := redis.NewClient(&redis.Options{Addr: startServer(t)})
	defer c.Close()
	s, err := redisstore.New(redisstore.Config{Client: c, Lease: testLease, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, forget := range []func() error{
		func() error { return c.ScriptFlush(ctx).Err() },
		func() error { return c.FlushAll(ctx).Err() },
	} {
		if err := s.Update(ctx, "k", write("record")); err != nil {
			t.Error(err)
		}
		wantRecord(t, s, "record")
		if left := c.TTL(ctx, "freshet:k").Val(); left < 59*time.Minute || left > time.Hour {
			t.Errorf("the record lives for %v", left)
		}
		err := s.Update(ctx, "k", func(ctx context.Context, _ []byte) ([]byte, error) {
			if left := c.TTL(ctx, "freshet:k").Val(); left >= 0 {
				t.Errorf("a record that is leased lives for %v", left)
			}
			return nil, tokenstore.ErrUnchanged
		})
		if err != nil {
			t.Error(err)
		}
		if left := c.TTL(ctx, "freshet:k").Val(); left < 59*time.Minute || left > time.Hour {
			t.Errorf("the record lives for %v after an Update without a change", left)
		}
		if err := forget(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Load(ctx, "k"); err != tokenstore.ErrNotFound {
		t.Errorf("Load = %v", err)
	}
}

func TestNew(t *testing.T) {
	c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer c.Close()
	for text, cfg := range map[string]redisstore.Config{
		"Client is nil": {},
		"Prefix":        {Client: c, Prefix: "a b"},
		"braces":        {Client: c, Prefix: "{a}"},
		"TTL is -1ns":   {Client: c, TTL: -1},
		"TTL is 1ms":    {Client: c, TTL: time.Millisecond},
		"Lease":         {Client: c, Lease: -1},
		"Settle":        {Client: c, Settle: -1},
	} {
		if _, err := redisstore.New(cfg); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: error %v does not say %q", cfg, err, text)
		}
	}
}
