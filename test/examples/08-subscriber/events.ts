/** Readings of four sensors, some of them too hot. */
import type { Message } from '../publish.ts';

export default Array.from({ length: 20 }, (_, i): Message => {
  const at = new Date(Date.UTC(2026, 2, 2, 8, i)).toISOString();
  return { subject: 'plant.reading', data: { sensor: `s${i % 4}`, celsius: 60 + ((i * 7) % 30), at } };
});
