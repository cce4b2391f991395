package main

import (
	"context"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// overAzcore is its bearer policy in a pipeline without retries and telemetry, which would
// write into the caller's request.
func overAzcore(base http.RoundTripper, tokens *issuer, set settings) http.RoundTripper {
	bearer := runtime.NewBearerTokenPolicy(azcoreCredential{tokens, set.early}, []string{"scope"}, nil)
	options := &policy.ClientOptions{Transport: azcoreSender{base}, Retry: policy.RetryOptions{MaxRetries: -1}, Telemetry: policy.TelemetryOptions{Disabled: true}}
	return azcoreTransport{runtime.NewPipeline("bench", "v0", runtime.PipelineOptions{PerRetry: []policy.Policy{bearer}}, options)}
}

type azcoreTransport struct{ pipeline runtime.Pipeline }

func (t azcoreTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	r, err := runtime.NewRequestFromRequest(req)
	if err != nil {
		return nil, err
	}
	return t.pipeline.Do(r)
}

type azcoreSender struct{ base http.RoundTripper }

func (s azcoreSender) Do(req *http.Request) (*http.Response, error) { return s.base.RoundTrip(req) }

// azcoreCredential says itself when its tokens are to be refreshed, if early is not zero.
type azcoreCredential struct {
	tokens *issuer
	early  time.Duration
}

func (c azcoreCredential) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	text, expiry, err := c.tokens.token(ctx)
	token := azcore.AccessToken{Token: text, ExpiresOn: expiry}
	if c.early > 0 {
		token.RefreshOn = expiry.Add(-c.early)
	}
	return token, err
}
