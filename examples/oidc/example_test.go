package main

func Example() {
	main()
	// Output:
	// Signed in, by a verified id_token: alice@example.com
	// One that was tampered with is refused: true
}
