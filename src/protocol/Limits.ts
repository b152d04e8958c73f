/**
 * Every capacity, deadline and overflow policy of Tela that a peer can press against, with its reason.
 *
 * Sizes are bytes, durations milliseconds, unless the name says otherwise.
 */

const KiB = 1024
const MiB = 1024 * KiB

// ---- carriers (one WebSocket, or its in-memory twin)

/** A sender stops handing messages to a carrier that holds this much unsent, and goes on when it has drained. */
export const CARRIER_HIGH_WATER = 256 * KiB

/** What anything that waits counts for beyond its bytes, one write or read each: half of what Node was measured to need. */
export const PIECE_BYTES = 256

/** A carrier that would have to hold more than this ends: its peer asks for control messages and reads none. */
export const CARRIER_LIMIT = 2 * MiB

/** Largest WebSocket message once a socket is authenticated: a full record with its headers, and room for additions. */
export const MESSAGE_BYTES = 256 * KiB

/** Time a closing socket gets to finish the closing handshake before it is destroyed. */
export const CLOSE_TIMEOUT = 2_000

/**
 * How long one that we dialled gets when anything moved on it in that time, since what was sent has to leave before the
 * goodbye does; and how often is looked whether it did. A program that ends waits for that.
 */
export const LEAVE_MOST = 5_000
export const LEAVE_LOOK = 100

/** Time for a WebSocket dial: name lookup, TCP, TLS and upgrade together. */
export const DIAL_TIMEOUT = 15_000

/** Signalling messages that may wait in a connection's inbox; the carrier is paused above it. */
export const INBOX_MESSAGES = 16

/**
 * How often a hub looks whether a socket was silent since the last look, and asks it with a ping; and how long silence may
 * last, to within one look, before the socket counts as dead.
 */
export const PING_INTERVAL = 10_000
export const DEAD_AFTER = 45_000

/**
 * The same for whoever dialled: an agent must know within 15 s that nobody can reach its machine. So it is the one that
 * asks, and a hub of 20,000 idle machines has only to answer. While its own messages wait it has up to DEAD_AFTER, as long as
 * the system takes more of them; and whoever does not read it says so in every DIALLED_PING_INTERVAL.
 */
export const DIALLED_PING_INTERVAL = 5_000
export const DIALLED_DEAD_AFTER = 10_000

// ---- before authentication: nothing here may cost more than a small fixed amount

/** Sockets that have not authenticated yet, in all and for one address. A further one is turned away at once. */
export const UNAUTHENTICATED_SOCKETS = 256
export const UNAUTHENTICATED_SOCKETS_PER_ADDRESS = 16

/**
 * Those that are turned away are told so in one write, where no TLS stands before it; and this many of them get so long to
 * take it. All others are only dropped.
 */
export const TURNED_AWAY_SOCKETS = 64
export const TURNED_AWAY_LINGER = 1_000

/** How often a hub logs how many it has turned away. */
export const TURNED_AWAY_LOG = 60_000

/** What an unauthenticated WebSocket may say, the largest message and all together: an honest one says a single message. */
export const UNAUTHENTICATED_MESSAGE_BYTES = 64 * KiB
export const UNAUTHENTICATED_MESSAGES = 8

/** What it may send at all, with frame headers and pings; whatever it does with them, this bounds its processor time and its memory. */
export const UNAUTHENTICATED_SOCKET_BYTES = 2 * UNAUTHENTICATED_MESSAGE_BYTES

/** From accepting a TCP connection to an accepted `register`, `connect` or `session-join`. */
export const UNAUTHENTICATED_TIMEOUT = 10_000

/**
 * Parts a message may come in. Frames: MESSAGE_BYTES in the 4 KiB frames of deployed programs; each may hold on to the 64 KiB
 * it was read with. Pieces of the TCP stream: as small as a network may make them.
 */
export const MESSAGE_FRAGMENTS = 64
export const MESSAGE_CHUNKS = 4_096

/** How often the deadlines of sockets are looked at; a deadline is late by at most this. */
export const DEADLINE_TICK = 1_000

/** How often TLS files are looked at for a change. */
export const TLS_RELOAD_INTERVAL = 5_000

/** Request bodies of the HTTP API, and the headers of any request. */
export const HTTP_BODY_BYTES = 64 * KiB
export const HTTP_HEADER_BYTES = 16 * KiB

/** How deep a body may nest: those of our programs are an object with lists, the rest is room for additions. */
export const HTTP_BODY_DEPTH = 8

/** Quiet on a TCP connection after which the system itself asks whether the other host is still there. */
export const TCP_KEEP_ALIVE_DELAY = 60_000

/** Time for an HTTP request to arrive in full, headers first, and for its answer to be taken. */
export const HTTP_HEADERS_TIMEOUT = 10_000
export const HTTP_RECEIVE_TIMEOUT = 15_000
export const HTTP_ANSWER_TIMEOUT = 60_000

/** How long an idle HTTP connection is kept for a further request. */
export const HTTP_KEEP_ALIVE = 5_000

/** Requests on one HTTP connection, pipelined or not; a further one is answered 503 and the connection closed. */
export const HTTP_REQUESTS_PER_SOCKET = 100

// ---- the hub

/** Largest telahubd.yaml that is read: 10,000 identities and 50,000 grants take about 5 MB. */
export const HUB_FILE_BYTES = 32 * MiB

/** Session indices are 1 to 254 (spec: wire 3.4); the lowest free one is given out, so a machine has at most 254 sessions at a time. */
export const SESSION_INDEX_MAX = 254

/**
 * What a hub bears unless `limits:` in its file says otherwise: sessions in all and of one identity, far above what
 * people open; and memory for peers that do not read or do not finish what they say, of which each end of a session takes
 * at most some 850 KiB.
 */
export const HUB_SESSIONS = 20_000
export const IDENTITY_SESSIONS = 1_000
export const HUB_MEMORY = 1024 * MiB

/** The least that `limits:` may set: below it nothing works any more, rather than slowly. */
export const HUB_MEMORY_LEAST = 16 * MiB
export const BANDWIDTH_LEAST = 64 * KiB

/** Identities that `limits:` may name, and its largest number of sessions or machines. */
export const LIMITED_IDENTITIES = 10_000
export const LIMIT_MOST = 1_000_000

/**
 * How often what a hub holds for slow peers is measured against its bound, and `limits:` applied to what is up. And, as
 * parts of that bound: after how much of it has arrived it is measured before that; above how much, which leaves room for
 * what arrives meanwhile, somebody has to go; and how much is left to the others then.
 */
export const LOAD_LOOK = 500
export const LOAD_ARRIVED = 1 / 8
export const LOAD_FULL = 7 / 8
export const LOAD_LEFT = 3 / 4

/**
 * Paced sessions wait for their turn in ticks of this length, in each of which one may be expected to pass what Node reads
 * at a time; whoever was quiet may be ahead of its rate by PACE_BURST.
 */
export const PACE_TICK = 20
export const PACE_QUANTUM = 64 * KiB
export const PACE_BURST = 100

/** When whoever was refused for a limit is told to ask again. */
export const LIMIT_RETRY = 5_000

/**
 * How long a hub remembers sessions whose link the agent may keep for its client: longer than any grace, which begins when
 * the agent has noticed. And how many: of one identity on one machine, of one machine, whose agent may name as many, and in
 * all; the oldest is forgotten first.
 */
export const RESUME_REMEMBERED = 12 * 60_000
export const DETACHED_PER_IDENTITY = 128
export const DETACHED_PER_MACHINE = 1_024
export const DETACHED_SESSIONS = 20_000

/** Time an agent has to join a session it was asked for. */
export const SESSION_JOIN_TIMEOUT = 30_000

/** Machines the directory remembers, connected or not; the one offline longest is forgotten first. */
export const DIRECTORY_MACHINES = 20_000

/** How long a connect waits for a machine that is expected back: agents dial again within a few seconds of a restart. */
export const REGISTRATION_WAIT = 10_000

/** How long an agent that was lost, or was there when the hub stopped, is expected back. */
export const MACHINE_RETURN = 60_000

/** Connects that wait so, in all and of one identity, which a whole team may share; each costs a socket and a fiber. */
export const AWAITING_CONNECTS = 4_096
export const AWAITING_CONNECTS_PER_IDENTITY = 256

/** How long machines last seen wait to be written together, and how many are written in one turn of the event loop. */
export const MACHINES_BATCH_DELAY = 250
export const MACHINES_WRITE = 16

/** How often a hub notes that it runs: of an agent that a crash took by surprise, no more is known than that. */
export const HUB_RUNNING_INTERVAL = 60_000

/**
 * A hub that stops: from the first word to when the first peers are to come back, which a successor needs to start; how many
 * are told to come in a second, which a starting hub takes in without keeping others waiting; and how long after its agent
 * a client comes.
 */
export const DRAIN_RETURN = 500
export const DRAIN_RATE = 1_000
export const DRAIN_CLIENT_LAG = 100

/** How long peers that can move get to do so while their old socket stands, and how often the hub looks who is left. */
export const DRAIN_MOVE = 3_000
export const DRAIN_LOOK = 50

/** How long a stopping hub waits for requests under way, and for those who cannot move unless telahubd.yaml says otherwise. */
export const DRAIN_ANSWERS = 1_000
export const SHUTDOWN_TIMEOUT = { default: 30_000, most: 3_600_000 } as const

/** How long a successor tries to bind a port that the hub before it has not left yet, and the pause between two tries. */
export const SUCCESSOR_BIND = 10_000
export const SUCCESSOR_BIND_RETRY = 20

/** Longest list in a control message: more ports or services than any machine has. */
export const LISTED_ITEMS = 1_024

/** Links that may go on in another session, which an agent names in one `register`: with REGISTER_BYTES it must fit the first message. */
export const DETACHED_NAMED_BYTES = 24 * KiB

/**
 * What one machine may tell of itself, since the hub keeps it for DIRECTORY_MACHINES and republishes it: a register message
 * as JSON; each text in it; its lists; its capabilities as JSON, and how deep they may nest (those of deployed agents are a
 * list of shares, each with a list of file extensions: 4).
 */
export const REGISTER_BYTES = 32 * KiB
export const REGISTER_TEXT_CHARACTERS = 256
export const REGISTER_SERVICES = 256
export const REGISTER_TAGS = 64
export const CAPABILITIES_BYTES = 16 * KiB
export const CAPABILITIES_DEPTH = 4

/** Text messages on a paired socket (wg-pubkey, peer-endpoint); a larger one ends the session. */
export const RELAYED_TEXT_BYTES = 64 * KiB

/** From the reason and close code of a session that may not be any more to the reset of its sockets. */
export const REVOKED_RESET = 50

/** Pieces of work for what has ended, of 0.1 to 0.4 ms each, in one turn of the event loop. */
export const ENDING_SLICE = 8

/** Longest wait for the next expiry: so late, at most, is noticed that the time of day was set. */
export const EXPIRY_LOOK = 60_000

/**
 * From when a session whose permission ends at an instant passes nothing, to that instant: long enough for what is under
 * way, 4 MiB at most of a stream that is read fast, to arrive on a busy computer.
 */
export const EXPIRY_HOLD = 100

/** Sessions and registrations asked again in one turn of the event loop after an edit of the file, which may concern all. */
export const REVIEW_SLICE = 256

/** Links of which agents that have just registered are told in one turn. */
export const RECALL_SLICE = 64

/** How often the hub's file is looked at for edits made elsewhere. */
export const HUB_FILE_POLL = 250

/** A file that somebody writes is read when it has looked the same for this long, so many times at most. */
export const HUB_FILE_SETTLE = 60
export const HUB_FILE_SETTLE_TRIES = 50

/** How long a writer of the hub's file waits for another one, and the pause between two tries. */
export const HUB_LOCK_TIMEOUT = 5_000
export const HUB_LOCK_RETRY = 5

/** Revisions of identities and grants that are kept, to tell what an edit based on an older one meant to change. */
export const KEPT_REVISIONS = 64

/**
 * Highest revision of the file and version of an entry: no number of changes comes near, so that more was written by hand.
 * Counting stops there, for a number that is refused in a file must not be written to it.
 */
export const COUNT_MAX = 2 ** 48

/** Entries of the file that are encoded and written as one piece: a change encodes one of them anew. */
export const HUB_FILE_BLOCK_LINES = 128

/** Changes of identities and grants that may wait for the file; a further one is answered 503. */
export const PENDING_CHANGES = 256

/** Events that wait to be recorded together, and how long; denied ones above the sampling rate are only counted. */
export const AUDIT_QUEUE = 4_096
export const AUDIT_BATCH_DELAY = 100

/**
 * Denied attempts that are recorded in a second, of strangers in all and of each of so many identities; the rest is recorded
 * as a number, once in AUDIT_SAMPLE_WINDOW.
 */
export const AUDIT_DENIED_PER_SECOND = 10
export const AUDIT_DENIED_ACTORS = 20
export const AUDIT_SAMPLE_WINDOW = 60_000

/**
 * Events that are kept, of changes and of everything else each, so that a flood of attempts pushes no change out; the
 * oldest go first.
 */
export const AUDIT_EVENTS = 100_000

/**
 * Renames and removals whose names are remembered, which each have an event, so that they outlast no change that is kept;
 * what is older than all of them goes, since nobody could say whose it was. And former names under which one identity is
 * searched for.
 */
export const AUDIT_RENAMES = 100_000
export const AUDIT_NAMES = 64

/** Events that are written, or searched, in one turn of the event loop; and the length of each text in them. */
export const AUDIT_WRITE_EVENTS = 32
export const AUDIT_SEARCH_EVENTS = 128
export const AUDIT_TEXT_CHARACTERS = 512

/** Removed identities whose last version is remembered; the one removed longest ago is forgotten first. */
export const REMEMBERED_VERSIONS = 100_000

/** How long a writer of telahubd.db waits for another program that writes, and the pause between two tries. */
export const DATABASE_TIMEOUT = 5_000
export const DATABASE_RETRY = 5

/** Writes after which SQLite's log, about 16 KiB each, is moved into the database. */
export const DATABASE_CHECKPOINT_WRITES = 1_000

/** Events of one answer of /api/history, when nothing is asked for and at most. */
export const HISTORY_DEFAULT = 100
export const HISTORY_MAX = 1_000

/** Events that are looked at for one answer to somebody who may see only some of them. */
export const HISTORY_SCANNED = 10_000

/** Entries of a list of identities that are made in one turn of the event loop: with five grants each, in 1 ms. */
export const LIST_CHUNK = 32

/** Pairing codes that can be redeemed at a time; to make a further one, one must be cancelled or expire. */
export const PAIR_CODES = 1_000

/** How long a code is good: what is given when nothing is asked for, and what may be. Long enough to be passed on. */
export const PAIR_CODE_LIFETIME = { default: 24 * 3_600_000, least: 10 * 60_000, most: 7 * 24 * 3_600_000 } as const

/** How long a code that is spent or expired is remembered. */
export const PAIR_CODE_KEPT = 24 * 3_600_000

/** Services of one grant, and machines of one pairing code. */
export const GRANT_SERVICES = 256
export const PAIR_CODE_MACHINES = 256

/**
 * Requests in a second, and how many at once, that the API answers: an identity's; those of them that search the record,
 * which is more work than all others, if in small pieces; an address's that has shown no token; and redemptions of pairing
 * codes by address, by site, by code, and in all. 40 random bits at 20 tries a second last 870 years. A site is an IPv6
 * network of 48 bits, which one customer may have: with its 65,536 addresses, in our sense, it is to leave tries to others.
 */
export const API_RATE = { perSecond: 50, burst: 200 } as const
export const HISTORY_RATE = { perSecond: 5, burst: 20 } as const
export const STRANGER_RATE = { perSecond: 5, burst: 30 } as const
export const PAIR_RATE = { perSecond: 0.2, burst: 10 } as const
export const PAIR_SITE_RATE = { perSecond: 1, burst: 50 } as const
export const PAIR_CODE_RATE = { perSecond: 0.2, burst: 10 } as const
export const PAIR_TOTAL_RATE = { perSecond: 20, burst: 100 } as const

/** How often the log tells of tokens in addresses, which deployed pages still send. */
export const TOKEN_IN_ADDRESS_LOG_INTERVAL = 60_000

/** How often the log tells of pairing codes that were refused: in one line, whatever their number. */
export const PAIR_LOG_INTERVAL = 60_000

/** Identities, addresses or codes that one rate limit remembers; the one that asked longest ago is forgotten first. */
export const RATE_KEYS = 10_000

// ---- management: what hubs ask of agents, and what both remember of their logs

/** How long an agent may take to answer (spec: wire 7.2). */
export const MANAGE_TIMEOUT = 30_000

/**
 * Requests that wait for one agent, and in all: half of UNAUTHENTICATED_SOCKETS_PER_ADDRESS and of UNAUTHENTICATED_SOCKETS,
 * of which each may hold one, so that the rest of the interface is still within reach.
 */
export const MANAGE_PENDING_PER_AGENT = 8
export const MANAGE_PENDING = 128

/** Of those, how many may wait for what is yet to be logged, for one agent and in all: followers leave room for a restart. */
export const FOLLOWERS_PER_AGENT = 4
export const FOLLOWERS = 32

/** How deep an answer of an agent may nest: that of deployed agents goes to 7, the rest is room for additions. */
export const MANAGE_DEPTH = 16

/** How often it is recorded that the same identity goes on asking the same of the same machine. */
export const FOLLOWING_RECORDED = 60_000

/** Log lines that a deployed agent is asked for at most: more of them could make a message that closes its socket. */
export const DEPLOYED_LOG_LINES = 500

/**
 * What a daemon remembers of its log: lines (as many as deployed programs), their bytes as JSON, so that all of it fits one
 * answer, and the length of each.
 */
export const LOG_RING_LINES = 1_000
export const LOG_RING_BYTES = 160 * KiB
export const LOG_LINE_CHARACTERS = 4_096

/** Lines that are shown when nothing is asked for (spec: hub-api 1.14). */
export const LOG_LINES_DEFAULT = 100

/**
 * Who follows a log waits for the next line so long, well within MANAGE_TIMEOUT; and so long after that for more of them, so
 * that a program that logs without pause costs a few answers a second.
 */
export const LOG_WAIT = 20_000
export const LOG_GATHER = 250

/**
 * How long our followers leave a program alone after an answer that had lines: with LOG_GATHER, one answer a second, since
 * each takes some milliseconds of the follower, the hub and the agent.
 */
export const FOLLOW_PAUSE = 750

/** How often a follower asks a program again that is not there, or does not let anybody wait. */
export const FOLLOW_RETRY = 2_000

/** How long a changed machine has to be registered again before the configuration of before is put back. */
export const CONFIG_APPLY_TIMEOUT = 15_000

/** How long an agent that restarts lets its streams finish: it is to be back within 5 s. */
export const AGENT_RESTART_DRAIN = 1_500

/** How long `tela admin` follows an update to its end, and how often it looks: whoever is asked looks at its channel then. */
export const UPDATE_FOLLOW_WAIT = 15 * 60_000
export const UPDATE_FOLLOW_LOOK = 3_000

/** How long `tela admin hub status` lets the hub wait for its release channel, which may not be reachable. */
export const STATUS_CHANNEL_WAIT = 3_000

/** How long `tela admin agent restart` waits for the agent, and how often it looks. */
export const AGENT_RETURN_WAIT = 30_000
export const AGENT_RETURN_LOOK = 500

// ---- the tunnel

/** Data bytes in one record: what Node reads from a socket at a time. */
export const RECORD_DATA_BYTES = 64 * KiB

/**
 * Data bytes in one record before a rate was measured, and how long one may be under way at the rate measured: whoever waits
 * for a whole record must not take a slow path for a dead one.
 */
export const RECORD_FIRST_BYTES = 8 * KiB
export const RECORD_TIME = 1_000

/** Largest plaintext of a record: data, its frame header, and small frames that share the record. */
export const RECORD_PLAINTEXT_BYTES = RECORD_DATA_BYTES + 16 * KiB

/** Records sealed with one key in one direction before Rekey() (Noise section 4.2). */
export const REKEY_RECORDS = 65_536

/** Extensible map in a handshake payload or a stream-open frame, encoded. */
export const HELLO_BYTES = 16 * KiB
export const OPEN_BYTES = 4 * KiB

/** A service's name in a stream-open frame, and the reason in a reset or go-away, which people and logs read. */
export const SERVICE_NAME_CHARACTERS = 256
export const REASON_CHARACTERS = 200

/** From the start of a handshake to the peer's first record; and how long either end waits for the other's word before it. */
export const HANDSHAKE_TIMEOUT = 15_000

/** Unacknowledged bytes on a carrier while only bulk streams are active. */
export const LINK_WINDOW_BULK = 4 * MiB

/** The same while a sparse stream was active a short while ago: what is queued ahead of its next bytes. */
export const LINK_WINDOW_SPARSE = 256 * KiB

/** How long after its last activity a sparse stream keeps the small window. */
export const SPARSE_HOLD = 250

/** The window never exceeds this, whatever rate times round trip says. */
export const LINK_WINDOW_MAX = 16 * MiB

/** A sender asks for an acknowledgement after this much, or after half its window: each costs all three programs a message. */
export const ACK_SPACING = 512 * KiB

/** Streams open on a link at a time, both directions of opening together. */
export const LINK_STREAMS = 1_024

/** Credit of a new stream, its ceiling, and the pool of a link from which both are taken. */
export const STREAM_CREDIT_INITIAL = 256 * KiB
export const STREAM_CREDIT_MAX = 4 * MiB
export const LINK_CREDIT_POOL = 16 * MiB

/** Credit of a stream opened when the pool is empty: with LINK_STREAMS it bounds what a link can hold beyond the pool. */
export const STREAM_CREDIT_FLOOR = 16 * KiB

/** Bytes a stream takes from its local writer before it asks it to wait for `drain`. */
export const STREAM_SEND_QUEUE = 128 * KiB

/** Opens, accepts and resets waiting for the carrier on one link. A peer that makes us exceed it asks without reading. */
export const LINK_CONTROL_BYTES = 1 * MiB

/** Records after which a sender asks for an acknowledgement however little they held: each is kept until then. */
export const ACK_RECORDS = 256

/** What a record that is kept counts for beyond its bytes. */
export const KEPT_RECORD_BYTES = 512

/**
 * What a stream counts for beyond its bytes that is still being delivered after its link's end, when no session's bound
 * counts it any more: its socket, and who serves it.
 */
export const LINGERING_STREAM_BYTES = 16 * KiB

/** How long a link waits for a new carrier: unless told, and at most. A hub remembers for as long whom to tell of. */
export const RESUME_GRACE = 2 * 60_000
export const RESUME_GRACE_MAX = 10 * 60_000

/**
 * Memory for what links keep until it is acknowledged, wait with, or leave to be delivered: of a program, of one identity in
 * it, what a link has from its birth to its end, and the pieces in which it takes more. A link that gets no reserve cannot be
 * resumed; one that gets no more has a smaller window; what it may not leave is reset.
 */
export const KEPT_BYTES = 256 * MiB
export const KEPT_BYTES_PER_IDENTITY = 128 * MiB
export const KEPT_RESERVE = 512 * KiB
export const KEPT_STEP = 512 * KiB

/** What of it is for frames other than data, so that two links full of data can still tell each other of it. */
export const KEPT_CONTROL_ROOM = 128 * KiB

/** How often links are looked at: for silence, to acknowledge what came since, and to give memory back. */
export const LINK_TICK = 1_000

/** Silence after which a link asks whether the other end is still there: with streams open, and without. */
export const PROBE_AFTER = 3_000
export const PROBE_IDLE = 15_000

/**
 * How long it waits for any word: this, four round trips, and what its unacknowledged bytes, or the RECORD_DATA_BYTES of one
 * record of them, need at the rate measured, or at the rate given here if that is lower or none was.
 */
export const PROBE_DEADLINE = 4_000
export const PROBE_RATE_BYTES_PER_MS = 16

/**
 * Where no session may be added, one whose client has said nothing for so long gives way to the same client's next: the
 * hub has not noticed that it was lost. One that lives says something each PROBE_IDLE, or answers its agent; what takes it
 * longer than PROBE_DEADLINE on a slow way, and what the hub notices late, is allowed for twice over.
 */
export const REPLACED_SILENCE = PROBE_IDLE + 3 * PROBE_DEADLINE

/** A carrier is replaced after this long, so that no key is used for ever. */
export const CARRIER_LIFETIME = 24 * 3_600_000

/** Chunks below this are copied together while they wait, so that a queue of tiny chunks costs what its bytes cost. */
export const SMALL_CHUNK = 4 * KiB

/** Bytes a local TCP socket takes before it asks its writer to wait. */
export const SOCKET_SEND_QUEUE = 16 * KiB

// ---- agents and clients

/** How long an agent that is told to stop lets its streams finish, and how often it looks whether they have. */
export const AGENT_DRAIN = 10_000

/** Time to reach a service from the agent. */
export const TARGET_DIAL_TIMEOUT = 10_000

/** How long an agent goes on handing to services what a client had sent and finished before its session ended. */
export const DELIVERY_LINGER = 30_000

/** Routes of one gateway, and the length of the path and of the Host header that its file may give each. */
export const GATEWAY_ROUTES = 256
export const GATEWAY_TEXT_CHARACTERS = 256

/**
 * Connections that one gateway serves at a time, each with one request under way and so one to a target at most: two links
 * full of them. A further one is refused as busy.
 */
export const GATEWAY_CONNECTIONS = 2 * LINK_STREAMS

/** The head of a request, or of an answer: room for the cookies of sign-on systems. */
export const GATEWAY_HEADER_BYTES = 32 * KiB

/** How long a connection may be without a request: from its opening, or an answer, to the next complete head. */
export const GATEWAY_IDLE = 30_000

/** Requests that may wait on one connection for the answer to the one before; browsers send none ahead. */
export const GATEWAY_PIPELINED = 16

/** How long a target may leave a request without progress and without answer, unless its route says otherwise, and at most. */
export const GATEWAY_ANSWER_TIMEOUT = { default: 60_000, most: 3_600_000 } as const

/** Upstreams of one machine, and connections through each at a time: what its dependency would bear. A further one is reset. */
export const UPSTREAMS = 256
export const UPSTREAM_CONNECTIONS = 1_024

/** Pause between two tries to listen on an upstream's port that is taken. */
export const UPSTREAM_BIND_RETRY = 10_000

/** First reconnect delay, its ceiling, and the pace while the hub refuses a registration; each jittered by a quarter. */
export const RECONNECT_BASE = 200
export const RECONNECT_CAP = 30_000
export const REFUSED_RETRY = 60_000

/** The longest time after which a hub may ask to be asked again: it spreads thousands over less. */
export const RETRY_IN_MOST = 60_000

/**
 * The ceiling for a client whose connections wait for it, those that stand still and new ones: it is to be back well within
 * RESUME_GRACE, and WAITING_TIMEOUT.
 */
export const RESUME_RETRY_CAP = 5_000

/** A connection that stood this long was sound: the next reconnect starts again from RECONNECT_BASE. */
export const RECONNECT_STEADY = 5_000

/** From `register` to the hub's answer. */
export const REGISTER_TIMEOUT = 15_000

/** From `connect` to `ready`: the time a hub gives the agent, and some for the way. */
export const SESSION_READY_TIMEOUT = SESSION_JOIN_TIMEOUT + 5_000

/** Local ports that are tried for a service before any free one is taken. */
export const LISTEN_TRIES = 100

/** From an HTTP request to the whole answer, and the largest answer: the status of some 50,000 machines. */
export const HTTP_CLIENT_TIMEOUT = 10_000
export const HTTP_CLIENT_BYTES = 32 * MiB

/** Largest file of certificates that is read: the bundles of systems have a quarter of a megabyte. */
export const CA_FILE_BYTES = 4 * MiB

/**
 * How long one address of a hub's name may take before the next is tried. Node gives up on the one before, so that a way
 * of some hundred milliseconds, and a first packet that is lost, have to fit.
 */
export const ADDRESS_TIMEOUT = 1_500

/** How long `tela admin hub restart` waits for the hub beyond its shutdownTimeout, and how often it looks. */
export const RESTART_WAIT = 45_000
export const RESTART_LOOK = 200

/** What may be typed, or piped, where a program asks for one line: more than any token has. */
export const PROMPT_BYTES = 4 * KiB

/**
 * Session sockets that an agent has on their way to the hub at a time: when a hub has restarted, all its clients come at
 * once, and the hub takes only so many from one address that have not shown yet what they are.
 */
export const JOINING_SESSIONS = 8

/**
 * How often an agent tries to join a session whose socket is lost before the hub has answered, with what pause before the
 * second time, which doubles; and when it gives up, since the hub waits no longer (SESSION_JOIN_TIMEOUT).
 */
export const JOIN_TRIES = 5
export const JOIN_WITHIN = 28_000
export const JOIN_RETRY = 100

/** Sessions one machine's registration serves at a time on the agent: when all move at once, each is there twice for a moment. */
export const AGENT_SESSIONS = 2 * SESSION_INDEX_MAX

/** Local connections a client's listener may hold while no tunnel is up; a further one is reset. */
export const WAITING_CONNECTIONS = 256

/** How long a local connection waits for a tunnel before it is reset. */
export const WAITING_TIMEOUT = 30_000

// ---- services of the operating system

/** How much longer than a program needs to leave, drained, its service manager waits before it kills it. */
export const SERVICE_STOP_MARGIN = 15_000

/**
 * The same for how long it needs to start: a version on trial may have to wait UPDATE_LOCK_PATIENCE before it counts its
 * start, and a hub then looks through its database.
 */
export const SERVICE_START_MARGIN = 60_000

/** Silence after which systemd takes a service for hung; it is told twice in that time, at most once in WATCHDOG_BEAT_LEAST. */
export const SERVICE_WATCHDOG = 60_000
export const WATCHDOG_BEAT_LEAST = 1_000

/** How long `systemd-notify` may take to pass on one word; it waits until systemd has taken it. */
export const NOTIFY_TIMEOUT = 5_000

/**
 * How long a service manager may take to answer, and to stop a service that drains; what is read of its answer; and and the
 * first and longest pause before one that answers before it is done is asked again whether it is.
 */
export const MANAGER_TIMEOUT = 120_000
export const MANAGER_STOP_TIMEOUT = SHUTDOWN_TIMEOUT.most + 60_000
export const MANAGER_OUTPUT_BYTES = 64 * KiB
export const MANAGER_LOOK = { first: 200, most: 10_000 } as const

/** What an instance of a service may be called, in characters: systemd makes a user's name of it, which ends at 31. */
export const INSTANCE_NAME_CHARACTERS = 20

// ---- releases and updates

/** A channel's name: it is a part of file names. */
export const CHANNEL_NAME_CHARACTERS = 64

/** Largest manifest that is fetched: one of RELEASE_BINARIES files has less than 40 KiB. Its signature has 64 bytes. */
export const MANIFEST_BYTES = MiB
export const RELEASE_BINARIES = 256

/**
 * A program's archive, which is kept in memory while it is unpacked, and what may come out of it: those of today have one
 * MiB, and a compressed one could make a thousand of it. Files in it: those of today have seven.
 */
export const RELEASE_ARCHIVE_BYTES = 32 * MiB
export const RELEASE_UNPACKED_BYTES = 64 * MiB
export const RELEASE_FILES = 1_024

/** To ask a channel what it offers, redirects and waiting included: whoever asks an agent through its hub waits 30 s. */
export const UPDATE_LOOK_TIMEOUT = 20_000

/** Silence after which a download counts as dead, and how long it may take in all. */
export const UPDATE_SILENCE = 30_000
export const UPDATE_DOWNLOAD_TIMEOUT = 15 * 60_000

/** Redirects that are followed: a download host has one or two. */
export const UPDATE_REDIRECTS = 5

/** How long a server that is busy may have a download wait each time, and how often. */
export const UPDATE_BUSY_WAIT = 10_000
export const UPDATE_BUSY_TRIES = 6

/** How often the progress of a download is told. */
export const UPDATE_PROGRESS = 500

/** How long a new version gets to say what it is, before it takes the place of another. */
export const UPDATE_PROVE_TIMEOUT = 30_000

/** How long a change of an installation waits for another one, which proves a version at most. */
export const UPDATE_LOCK_PATIENCE = 3 * UPDATE_PROVE_TIMEOUT

/**
 * When the lock of an installation counts as left behind, though a process has the number of its holder, and the system does
 * not tell whether it is another one.
 */
export const UPDATE_LOCK_STALE = 30 * 60_000

/** From the answer to a request for an update to the restart: as long as whoever asked needs to be answered. */
export const UPDATE_RESTART_DELAY = 500

/**
 * A daemon after an update: how long it gets to do what it is there for, and how long it must then go on; and how many
 * starts it gets, because the first may meet a port that is not free yet. Agents dial again after RECONNECT_CAP at the latest.
 */
export const TRIAL_WINDOW = 120_000
export const TRIAL_SETTLE = 3_000
export const TRIAL_STARTS = 2

/** Of a file that says which version of an installation is in force, or what it is. */
export const INSTALLATION_FILE_BYTES = 64 * KiB

/**
 * What a service's copy of an installation may hold, which is in memory while it is copied: SQLite's addon with its sources
 * has 32 MiB in 120 files, and what builds it as many thousand.
 */
export const COPY_BYTES = 256 * MiB
export const COPY_FILES = 20_000

/** What the deployed hub takes as one file of a channel (spec: hub-api 0.5); how many are taken and given at a time. */
export const CHANNEL_FILE_BYTES = 500 * MiB
export const CHANNEL_UPLOADS = 4
export const CHANNEL_DOWNLOADS = 64

/** How long such a transfer may take, and how long it may stand still. */
export const CHANNEL_TRANSFER_TIMEOUT = 30 * 60_000
export const CHANNEL_TRANSFER_SILENCE = 30_000

/** How long after its last change a channel's folder is read anew for each request: longer than any file system's tick. */
export const CHANNEL_FOLDER_SETTLES = 3_000

/** Releases of one channel that a hub keeps manifests of. */
export const CHANNEL_RELEASES = 1_000

// ---- files

/** What is handed to the system in one write of a whole file. */
export const FILE_WRITE_BYTES = 1 * MiB

/**
 * Of V8's young heap, which is 1 MiB at least: when so much is used, it is collected before the next turn of a hub's work,
 * which allocates 200 KiB.
 */
export const YOUNG_HEAP_USED = 560 * KiB

/** Largest configuration or state file read whole, unless its reader says otherwise. */
export const CONFIG_FILE_BYTES = MiB

/** A key file holds one line of 44 characters; more than this is something else. */
export const KEY_FILE_BYTES = KiB

/** How long a program waits for another one that is writing the same file, and when a lock counts as left by a crash. */
export const FILE_LOCK_TIMEOUT = 5_000
export const FILE_LOCK_STALE = 10_000

/** Pause between two tries for such a lock. */
export const FILE_LOCK_RETRY = 20
