/** SHIM */
export interface Peers {
  beat(bytes: Uint8Array): void;
  onBeat(heard: (bytes: Uint8Array) => void): void;
  ask(member: string, bytes: Uint8Array, timeoutMs: number): Promise<Uint8Array | 'nobody' | 'silent'>;
  answer(handler: (bytes: Uint8Array) => Promise<Uint8Array>): void;
}
