/**
 * Certificates for tests, made when they are needed and gone with their folder: an authority, and what it signs for this
 * machine.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export class Certificates {
  readonly folder = mkdtempSync(join(tmpdir(), 'millrace-certificates-'));
  #serial = 1;

  /** An authority of its own. */
  authority(name: string): { certFile: string; keyFile: string } {
    const files = this.#files(name);
    this.#openssl('req', '-x509', ...EC, '-subj', `/CN=${name}`, '-keyout', files.keyFile, '-out', files.certFile);
    return files;
  }

  /** Signed by `authority`, for 127.0.0.1 and localhost unless other names are given; with days below 0 it has ended. */
  signed(
    name: string,
    authority: { certFile: string; keyFile: string },
    options: { names?: string; days?: number } = {},
  ): { certFile: string; keyFile: string } {
    const files = this.#files(name);
    const [request, extensions] = [join(this.folder, `${name}.csr`), join(this.folder, `${name}.ext`)];
    this.#openssl('req', ...EC, '-subj', `/CN=${name}`, '-keyout', files.keyFile, '-out', request);
    writeFileSync(extensions, `subjectAltName=${options.names ?? 'IP:127.0.0.1,DNS:localhost'}\n`);
    const { days = 2 } = options;
    const by = ['-CA', authority.certFile, '-CAkey', authority.keyFile, '-set_serial', String(this.#serial++)];
    this.#openssl(
      'x509',
      '-req',
      '-in',
      request,
      ...by,
      '-extfile',
      extensions,
      '-days',
      String(days),
      '-out',
      files.certFile,
    );
    return files;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #files(name: string) {
    return { certFile: join(this.folder, `${name}.crt`), keyFile: join(this.folder, `${name}.key`) };
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'ignore'] });
  }
}
