package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ResourceMetadata is what an API says of itself (RFC 9728 §2).
type ResourceMetadata struct {
	// Resource is its identifier, for Config.Resources and [Target].Resources.
	Resource string

	// Scopes are those that it knows.
	Scopes []string

	// DPoP says that it takes no tokens but those that are bound to a key.
	DPoP bool
}

// ResourceMetadata fetches the metadata of the API that has answered resp, from the URL
// that its challenge names (RFC 9728 §5.1), without a token or a secret. It is an error unless
// that is the API's own: at its origin, about the URL that was asked for, and with
// Config.Issuer among its authorization servers. What it says is then as good as the API;
// an API that leads to another server is not followed.
func (c *Client) ResourceMetadata(ctx context.Context, resp *http.Response) (ResourceMetadata, error) {
	d, _ := DemandOf(resp)
	if d.Metadata == "" || resp.Request == nil || resp.Request.URL == nil {
		return ResourceMetadata{}, errors.New("client: ResourceMetadata: the answer names no metadata: it has no challenge with resource_metadata")
	}
	at := resp.Request.URL
	if fault := urlFault(d.Metadata); fault != "" {
		return ResourceMetadata{}, fmt.Errorf("client: ResourceMetadata: the URL in the challenge %s", fault)
	}
	if originOfRaw(d.Metadata) != originOf(resp.Request) {
		return ResourceMetadata{}, errors.New("client: ResourceMetadata: the challenge names a document at another origin than the API's")
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.tokenTimeout())
	defer cancel()
	status, text, err := c.endpoint.server.get(ctx, d.Metadata)
	if err != nil {
		return ResourceMetadata{}, fmt.Errorf("client: ResourceMetadata: %w", newNetError(ctx, "metadata of the API", d.Metadata, err))
	}
	if status != http.StatusOK {
		return ResourceMetadata{}, fmt.Errorf("client: ResourceMetadata: the API's metadata at %s: status %d", shownURL(d.Metadata), status)
	}
	m, err := readResource(text, at, c.cfg.issuer())
	if err != nil {
		return ResourceMetadata{}, fmt.Errorf("client: ResourceMetadata: the API's metadata at %s: %w", shownURL(d.Metadata), err)
	}
	return m, nil
}

// readResource reads the document of the API at a URL, which has to name the issuer.
func readResource(text []byte, at *url.URL, issuer string) (ResourceMetadata, error) {
	if len(text) > maxAnswer {
		return ResourceMetadata{}, errTooLarge
	}
	ms, err := readJSON(text)
	if err != nil {
		return ResourceMetadata{}, err
	}
	var m ResourceMetadata
	var servers []string
	for name, into := range map[string]any{
		"resource": &m.Resource, "authorization_servers": &servers, "scopes_supported": &m.Scopes, "dpop_bound_access_tokens_required": &m.DPoP,
	} {
		if !ms.absent(name) && json.Unmarshal(ms[name], into) != nil {
			return ResourceMetadata{}, fmt.Errorf("its member %s is of a wrong type", name)
		}
	}
	switch {
	case !covers(m.Resource, at):
		return ResourceMetadata{}, errors.New("it is that of another API: its resource is not the URL that was asked for, nor a part of it")
	case !slices.Contains(servers, issuer):
		return ResourceMetadata{}, errors.New("it does not name Config.Issuer among its authorization servers: the tokens of this client are not for it")
	}
	m.Scopes = slices.DeleteFunc(m.Scopes, func(s string) bool { return !isScope(s) })
	return m, nil
}

// covers reports whether at is the resource, or below it (RFC 9728 §3.3).
func covers(resource string, at *url.URL) bool {
	u, err := url.Parse(resource)
	if err != nil || resourceFault(resource) != "" || originOf(&http.Request{URL: u}) != originOf(&http.Request{URL: at}) {
		return false
	}
	below, whole := at.EscapedPath(), strings.TrimSuffix(u.EscapedPath(), "/")
	return u.RawQuery == "" && (below == whole || strings.HasPrefix(below, whole+"/"))
}

func originOfRaw(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return originOf(&http.Request{URL: u})
}
