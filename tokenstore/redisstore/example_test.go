package redisstore_test

import (
	"fmt"
	"log"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/tokenstore/redisstore"
)

// Sessions in Redis, for all hosts that reach it: give the store to
// client.Config.Store.
func Example() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	store, err := redisstore.New(redisstore.Config{Client: client})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%T\n", store)
	// Output: *redisstore.Store
}
