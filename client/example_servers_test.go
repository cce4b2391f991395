package client_test

import (
	"cmp"
	"fmt"
	"log"
	"net/url"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/endpoints"

	"github.com/freshet-go/freshet/client"
)

// What to set for some servers, from their documentation; none of it was run
// against the vendor. ClientID, ClientSecret, RedirectURL and Store come from the
// program, and so do the other scopes.
func Example_servers() {
	offline := []string{"offline_access"}
	for _, server := range []struct {
		name string
		cfg  client.Config
		opts client.LoginOptions // of its logins
	}{
		{"Google", client.Config{
			Issuer:  "https://accounts.google.com",
			Origins: []string{"https://www.googleapis.com"},
		}, client.LoginOptions{Params: url.Values{"access_type": {"offline"}, "prompt": {"consent"}}}},

		{"GitHub App", client.Config{
			Endpoint: endpoints.GitHub,
			Auth:     client.ClientSecretPost{},
			Origins:  []string{"https://api.github.com"},
		}, client.LoginOptions{}},

		{"GitLab", client.Config{
			Endpoint:      endpoints.GitLab,
			RevocationURL: "https://gitlab.com/oauth/revoke",
			RefreshParams: url.Values{"redirect_uri": {"https://app.example.com/callback"}},
			Origins:       []string{"https://gitlab.com"},
		}, client.LoginOptions{}},

		{"Slack", client.Config{
			Endpoint: endpoints.Slack,
			Scopes:   []string{"chat:write,users:read"}, // with commas
			Quirks:   client.Quirks{BearerTypes: []string{"bot", "user"}},
			Origins:  []string{"https://slack.com"},
		}, client.LoginOptions{}},

		{"Xero", client.Config{
			Endpoint: oauth2.Endpoint{
				AuthURL:  "https://login.xero.com/identity/connect/authorize",
				TokenURL: "https://identity.xero.com/connect/token",
			},
			RevocationURL: "https://identity.xero.com/connect/revocation",
			Scopes:        offline,
			Origins:       []string{"https://api.xero.com"},
		}, client.LoginOptions{}},

		{"Intuit", client.Config{
			Endpoint: oauth2.Endpoint{
				AuthURL:  "https://appcenter.intuit.com/connect/oauth2",
				TokenURL: "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
			},
			RevocationURL: "https://developer.api.intuit.com/v2/oauth2/tokens/revoke",
			Scopes:        []string{"com.intuit.quickbooks.accounting"},
			Origins:       []string{"https://quickbooks.api.intuit.com"},
		}, client.LoginOptions{}},

		{"Salesforce", client.Config{
			Endpoint: oauth2.Endpoint{
				AuthURL:  "https://login.salesforce.com/services/oauth2/authorize",
				TokenURL: "https://login.salesforce.com/services/oauth2/token",
			},
			RevocationURL: "https://login.salesforce.com/services/oauth2/revoke",
			Auth:          client.ClientSecretPost{},
			Scopes:        []string{"api", "refresh_token"},
			Origins:       []string{"https://my-domain.my.salesforce.com"}, // the token's Extra("instance_url")
		}, client.LoginOptions{}},

		{"Atlassian", client.Config{
			Endpoint: oauth2.Endpoint{
				AuthURL:  "https://auth.atlassian.com/authorize",
				TokenURL: "https://auth.atlassian.com/oauth/token",
			},
			Auth:    client.ClientSecretPost{},
			Scopes:  offline,
			Origins: []string{"https://api.atlassian.com"},
		}, client.LoginOptions{Params: url.Values{"audience": {"api.atlassian.com"}, "prompt": {"consent"}}}},

		{"Microsoft Entra", client.Config{
			Endpoint: endpoints.AzureAD("my-tenant"),
			Auth:     client.ClientSecretPost{},
			Scopes:   []string{"https://graph.microsoft.com/User.Read", "offline_access"},
			Origins:  []string{"https://graph.microsoft.com"},
		}, client.LoginOptions{}},

		{"Okta", client.Config{
			Issuer:  "https://my-org.okta.com/oauth2/default",
			Scopes:  offline,
			Origins: []string{"https://api.example.com"},
		}, client.LoginOptions{}},

		{"Auth0", client.Config{
			Issuer:  "https://my-tenant.auth0.com/",
			Scopes:  offline,
			Origins: []string{"https://api.example.com"},
		}, client.LoginOptions{Params: url.Values{"audience": {"https://api.example.com"}}}},
	} {
		server.cfg.ClientID, server.cfg.ClientSecret = "my-app", "its secret"
		server.cfg.RedirectURL = "https://app.example.com/callback"
		if _, err := client.New(server.cfg); err != nil {
			log.Fatal(err)
		}
		fmt.Println(server.name, cmp.Or(server.cfg.Issuer, server.cfg.Endpoint.AuthURL), len(server.opts.Params))
	}
	// Output:
	// Google https://accounts.google.com 2
	// GitHub App https://github.com/login/oauth/authorize 0
	// GitLab https://gitlab.com/oauth/authorize 0
	// Slack https://slack.com/oauth/v2/authorize 0
	// Xero https://login.xero.com/identity/connect/authorize 0
	// Intuit https://appcenter.intuit.com/connect/oauth2 0
	// Salesforce https://login.salesforce.com/services/oauth2/authorize 0
	// Atlassian https://auth.atlassian.com/authorize 2
	// Microsoft Entra https://login.microsoftonline.com/my-tenant/oauth2/v2.0/authorize 0
	// Okta https://my-org.okta.com/oauth2/default 0
	// Auth0 https://my-tenant.auth0.com/ 1
}
