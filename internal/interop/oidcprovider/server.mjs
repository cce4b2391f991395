// oidc-provider with its own pages for login and consent, everything in memory, opaque
// access tokens, and a new refresh token at each refresh; one that comes again ends the
// session. It says "ready PORT" when it listens, does what the lines of its standard
// input say, answers each with "ok", and ends with it.
import { randomBytes, generateKeyPairSync } from 'node:crypto';
import { createInterface } from 'node:readline';
import Provider, { errors } from 'oidc-provider';

const env = process.env;
const accessTTL = Number(env.ACCESS_TTL);
let rotate = true;

const code = ['authorization_code', 'refresh_token'];
const device = 'urn:ietf:params:oauth:grant-type:device_code';
const redirect_uris = JSON.parse(env.REDIRECT_URIS);
const clients = JSON.parse(env.CLIENTS).map(({ grants, ...client }) => ({
  redirect_uris,
  application_type: 'native',
  response_types: ['code'],
  grant_types: [...code, 'client_credentials', device],
  ...client,
}));

const rs = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });

const provider = new Provider(env.ISSUER, {
  clients,
  jwks: { keys: [{ ...rs, kid: 'rs256', alg: 'RS256', use: 'sig' }] },
  scopes: ['openid', 'offline_access', 'read', 'write'],
  claims: { openid: ['sub'] },
  cookies: { keys: [randomBytes(16).toString('hex')] },
  clockTolerance: 0,
  pkce: { required: () => true },
  rotateRefreshToken: () => rotate,
  issueRefreshToken: (ctx, client, source) => client.grantTypeAllowed('refresh_token') && source.scopes.has('offline_access'),
  findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  ttl: {
    AccessToken: accessTTL,
    ClientCredentials: accessTTL,
    RefreshToken: 3600,
    AuthorizationCode: 60,
    DeviceCode: 120,
    IdToken: 300,
    Interaction: 600,
    Session: 3600,
    Grant: 86400,
  },
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    pushedAuthorizationRequests: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(ctx, resource) {
        if (!env.RESOURCES.split(' ').includes(resource)) throw new errors.InvalidTarget();
        return { scope: 'read write', audience: resource, accessTokenTTL: accessTTL, accessTokenFormat: 'opaque' };
      },
    },
  },
});
provider.on('server_error', (ctx, err) => console.error(err));

createInterface({ input: process.stdin })
  .on('line', (line) => {
    rotate = line === 'rotate';
    console.log('ok');
  })
  .on('close', () => process.exit(0));

const server = provider.listen(0, '127.0.0.1', () => console.log('ready', server.address().port));
