/**
 * Which nats-server is fetched, and what it is to the byte. A list of sums that lies beside an archive says nothing of who has
 * put both there, so what counts is written here: whoever takes a newer version writes its sums, too, all of them.
 */

export const SERVER_VERSION = '2.15.0';

export interface ServerPins {
  /** The release archives, by platform as they are named; SHA-256. */
  readonly archives: Readonly<Record<string, string>>;
  /** The source module, as Go sums it up; what that imports is pinned by its own `go.sum`. */
  readonly module: string;
}

export const SERVER_PINS: ServerPins = {
  archives: {
    'linux-amd64': '5d2c51caca950333aba84911df7d377f826f3a59ec36061c6539105084f65c92',
    'linux-arm64': 'cdc208f5a3f42963a52b6ab06ef65626bb870315dc936e26ba571780c6351112',
    'linux-arm7': 'ec5f4689d017e07cfa18442e10da051c0f3f9dd2e7f4dc7cdb55a11f1303c952',
    'linux-s390x': 'ac50bf4adc8fa6db575ed9293417b6fbec746e71cc9d360aea5cd447e4207bfc',
    'darwin-amd64': '5bd8b59ca5bf93fab3da2c5843cf564cd6e2e291e22ae3b861746e7ebe259b95',
    'darwin-arm64': 'e1c4e22d70bd44abfa0bcb3c16f7cf0c66f648c2e728c58924e8a1ce88913cc8',
  },
  module: 'h1:M99yf0y05rTr46/qc/Is6ZAowI58Ryp2SjufLCUeVJc=',
};
