package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/tokenstore"
	"github.com/freshet-go/freshet/tokenstore/internal/lease"
)

// A table is the [lease.Table] in Redis. Each script runs as a whole. All of them
// are of one key, so that a cluster can run them, and none is declared as reading
// alone, so that it goes to the master.
type table struct {
	client redis.UniversalClient
	prefix string
	ttl    time.Duration
}

// The fields of a session's hash: record, version (how many were written), owner
// (who had the lease last) and end (when it ends, in milliseconds by Redis's clock, 0
// where it was given back).

var loadScript = redis.NewScript(`return redis.call('HGET', KEYS[1], 'record')`)

// ARGV: owner, over, milliseconds. A record's TTL does not run while it is leased:
// the lease would go with it.
var takeScript = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local row = redis.call('HMGET', KEYS[1], 'owner', 'end', 'version', 'record')
local owner, ends = row[1], tonumber(row[2] or 0)
if ends == 0 or owner == ARGV[1] or owner == ARGV[2] and ends < now then
	owner, ends = ARGV[1], now + ARGV[3]
	redis.call('HSET', KEYS[1], 'owner', owner, 'end', ends)
	redis.call('PERSIST', KEYS[1])
end
return {owner, ends < now and 1 or 0, tonumber(row[3] or 0), row[4]}`)

// ARGV: owner, version, record, TTL in milliseconds. Who has written already, and
// comes again because the answer was lost, is told so.
var commitScript = redis.NewScript(`
local row = redis.call('HMGET', KEYS[1], 'owner', 'end', 'version')
local version = tonumber(row[3] or 0)
if row[1] ~= ARGV[1] then
	return 0
elseif row[2] == '0' then
	return version == ARGV[2] + 1 and 1 or 0
elseif version ~= tonumber(ARGV[2]) then
	return 0
end
redis.call('HSET', KEYS[1], 'record', ARGV[3], 'version', version + 1, 'end', 0)
if ARGV[4] ~= '0' then
	redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return 1`)

// ARGV: owner.
var removeScript = redis.NewScript(`
local row = redis.call('HMGET', KEYS[1], 'owner', 'end')
if row[1] ~= ARGV[1] or row[2] == '0' then
	return 0
end
return redis.call('DEL', KEYS[1])`)

// ARGV: owner, TTL in milliseconds. A hash that was made for the lease goes again.
var freeScript = redis.NewScript(`
local row = redis.call('HMGET', KEYS[1], 'owner', 'end')
if row[1] ~= ARGV[1] or row[2] == '0' then
	return 0
elseif redis.call('HEXISTS', KEYS[1], 'record') == 0 then
	return redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], 'end', 0)
if ARGV[2] ~= '0' then
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1`)

func (t *table) run(ctx context.Context, script *redis.Script, key string, args ...any) *redis.Cmd {
	return script.Run(ctx, t.client, []string{t.prefix + key}, args...)
}

// Load implements [lease.Table].
func (t *table) Load(ctx context.Context, key string) ([]byte, error) {
	record, err := t.run(ctx, loadScript, key).Text()
	if errors.Is(err, redis.Nil) {
		return nil, tokenstore.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return []byte(record), nil
}

// Take implements [lease.Table]. The script that takes a lease looks by itself.
func (t *table) Take(ctx context.Context, key, owner, over string, length time.Duration, _ bool) (lease.Row, error) {
	values, err := t.run(ctx, takeScript, key, owner, over, length.Milliseconds()).Slice()
	if err != nil {
		return lease.Row{}, err
	}
	return rowOf(values)
}

// rowOf reads what takeScript returns. A record that is not there is not in it, or
// nil.
func rowOf(values []any) (lease.Row, error) {
	if len(values) < 3 {
		return lease.Row{}, errAnswer
	}
	holder, ok1 := values[0].(string)
	runOut, ok2 := values[1].(int64)
	version, ok3 := values[2].(int64)
	if !ok1 || !ok2 || !ok3 {
		return lease.Row{}, errAnswer
	}
	row := lease.Row{Holder: holder, RunOut: runOut == 1, Version: version}
	if len(values) > 3 && values[3] != nil {
		record, ok := values[3].(string)
		if !ok {
			return lease.Row{}, errAnswer
		}
		row.Record = []byte(record)
	}
	return row, nil
}

var errAnswer = errors.New("redisstore: the script returned something else than a row")

// Commit implements [lease.Table].
func (t *table) Commit(ctx context.Context, key, owner string, version int64, record []byte) (bool, error) {
	return t.run(ctx, commitScript, key, owner, version, record, t.ttl.Milliseconds()).Bool()
}

// Remove implements [lease.Table].
func (t *table) Remove(ctx context.Context, key, owner string) (bool, error) {
	return t.run(ctx, removeScript, key, owner).Bool()
}

// Free implements [lease.Table].
func (t *table) Free(ctx context.Context, key, owner string) error {
	return t.run(ctx, freeScript, key, owner, t.ttl.Milliseconds()).Err()
}

// pageSize is how many keys Redis looks at for one page.
const pageSize = 1000

// keys returns the keys of all masters, each once.
func (t *table) keys(ctx context.Context) (map[string]bool, error) {
	var mu sync.Mutex // guards all: masters are asked at once
	all := make(map[string]bool)
	scan := func(ctx context.Context, master *redis.Client) error {
		return t.scan(ctx, master, func(key string) {
			mu.Lock()
			defer mu.Unlock()
			all[key] = true
		})
	}
	var err error
	switch c := t.client.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, scan)
	case *redis.Client:
		err = scan(ctx, c)
	default:
		err = fmt.Errorf("redisstore: a %T can't list its keys: %w", c, errors.ErrUnsupported)
	}
	return all, err
}

// scan calls found with every key of one server that has a record.
func (t *table) scan(ctx context.Context, master *redis.Client, found func(key string)) error {
	for cursor := uint64(0); ; {
		names, next, err := master.Scan(ctx, cursor, globQuoted(t.prefix)+"*", pageSize).Result()
		if err != nil {
			return err
		}
		has := make([]*redis.BoolCmd, len(names))
		_, err = master.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, name := range names {
				has[i] = p.HExists(ctx, name, "record")
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, name := range names {
			if has[i].Val() {
				found(strings.TrimPrefix(name, t.prefix))
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// globQuoted returns the pattern that s alone matches.
func globQuoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}
