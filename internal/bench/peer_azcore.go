package main

import (
	"context"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// overAzcore is its bearer policy in a pipeline without retries and telemetry, which would
// write into the caller's request.
func overAzcore(base http.RoundTripper, tokens *issuer) http.RoundTripper {
	bearer := runtime.NewBearerTokenPolicy(azcoreCredential{tokens}, []string{"scope"}, nil)
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

type azcoreCredential struct{ tokens *issuer }

func (c azcoreCredential) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	text, expiry, err := c.tokens.token(ctx)
	return azcore.AccessToken{Token: text, ExpiresOn: expiry}, err
}
