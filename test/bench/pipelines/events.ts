/** What the bench's queries see of Nexmark's events; other fields travel along until a query leaves them out. */
export interface Bid {
  readonly auction: number;
  readonly bidder: number;
  /** Cents. */
  readonly price: number;
  /** Event time, ms since 1970. */
  readonly dateTime: number;
}

export interface Auction {
  readonly id: number;
  readonly seller: number;
  readonly category: number;
  /** Event time, ms since 1970. */
  readonly dateTime: number;
}

/** The fields that a query about bids is about. */
export function toBid({ auction, bidder, price, dateTime }: Bid): Bid {
  return { auction, bidder, price, dateTime };
}
