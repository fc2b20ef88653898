/** Messages whose value is their text or their bytes, whatever is in them. */
import { type Decoder, textOf, unreadableCause } from './format.ts';

/** The message's UTF-8 text (without a byte order mark). */
export function text(): Decoder {
  return {
    name: 'text',
    decode(message, out, report) {
      try {
        out.push(textOf(message.data));
      } catch (error) {
        report({ index: 0, bytes: message.data, cause: unreadableCause('not text', error) });
      }
    },
  };
}

/** The message's bytes, as a Uint8Array. */
export function bytes(): Decoder {
  return {
    name: 'bytes',
    decode(message, out) {
      // A copy: the message is a view of what the socket read.
      out.push(new Uint8Array(message.data));
    },
  };
}
