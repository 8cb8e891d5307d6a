// The identity provider `oidc-provider` for the tests in tests/api/oidc/test_conformance.py.
// PORT: where it listens. HOME: the address of Holdgate. KEYS: a file with its private keys (JWKS), which tests rotate.
// ACCOUNTS: a file with the claims of people by their subject, read at each question.
import { readFileSync } from "node:fs";
import Provider from "oidc-provider";

const { PORT, HOME, KEYS, ACCOUNTS, SECRET } = process.env;
const read = (path) => JSON.parse(readFileSync(path, "utf8"));

const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  clients: [
    {
      client_id: "holdgate",
      client_secret: SECRET,
      redirect_uris: [`${HOME}/sign-in/oidc/callback`],
      post_logout_redirect_uris: [`${HOME}/sign-in`],
      backchannel_logout_uri: `${HOME}/sign-out/oidc`,
      backchannel_logout_session_required: true,
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
    },
    {
      client_id: "nightly-import",
      client_secret: SECRET,
      redirect_uris: [],
      grant_types: ["client_credentials"],
      response_types: [],
    },
  ],
  jwks: read(KEYS),
  cookies: { keys: ["only for tests"] },
  claims: {
    openid: ["sub"],
    profile: ["name", "preferred_username"],
    email: ["email", "email_verified"],
    groups: ["groups"],
  },
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  findAccount: async (_context, sub) => ({ accountId: sub, claims: async () => ({ sub, ...read(ACCOUNTS)[sub] }) }),
  // It refuses to send a logout token to a loopback address, where tests listen.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  features: {
    devInteractions: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    backchannelLogout: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: async () => undefined,
      getResourceServerInfo: async (_context, resource) => ({
        scope: "cases:ask cases:read",
        audience: resource,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
});
provider.listen(Number(PORT), "127.0.0.1");
