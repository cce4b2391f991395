module github.com/freshet-go/freshet

go 1.26.0

toolchain go1.26.6

require (
	github.com/go-jose/go-jose/v4 v4.1.9
	github.com/gofrs/flock v0.13.1
	github.com/hashicorp/go-retryablehttp v0.7.8
	golang.org/x/oauth2 v0.37.0
	golang.org/x/sync v0.24.0
	rsc.io/qr v0.2.0
)

require (
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	golang.org/x/sys v0.47.0 // indirect
)
