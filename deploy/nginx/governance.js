// What nginx cannot do by itself: read an answer's usage as it goes by, report it, and answer refusals as they are.

// A stream is cut anywhere: so much of what went by is kept until a usage is complete.
const LONGEST_USAGE = 8192;
const USAGE = /"usage(?:Metadata)?"\s*:\s*\{/;

function token() {
    return process.env.GOVERNANCE_TOKEN || '';
}

function llm_key() {
    return process.env.OPENAI_API_KEY || '';
}

// Where the object that opens at `start` ends, -1 when it is not complete.
function end_of(text, start) {
    let depth = 0;
    for (let at = start; at < text.length; at++) {
        if (text[at] === '{') {
            depth++;
        } else if (text[at] === '}' && --depth === 0) {
            return at + 1;
        }
    }
    return -1;
}

// Passes an answer on unchanged, byte for byte, and remembers what it says of its usage. Later figures go before
// earlier ones: Anthropic tells the input at the beginning of a stream, and the output at its end.
function watch(r, data, flags) {
    r.sendBuffer(data, flags);
    let text = r.variables.governance_tail + data.toString();
    for (let found = USAGE.exec(text); found !== null; found = USAGE.exec(text)) {
        const start = found.index + found[0].length - 1;
        const end = end_of(text, start);
        if (end < 0) {
            text = text.slice(found.index);
            break;
        }
        remember(r, text.slice(start, end));
        text = text.slice(end);
    }
    r.variables.governance_tail = text.slice(-LONGEST_USAGE);
}

function remember(r, usage) {
    try {
        const known = JSON.parse(r.variables.governance_usage || '{}');
        r.variables.governance_usage = JSON.stringify(Object.assign(known, JSON.parse(usage)));
    } catch (error) {
        r.warn('governance: a usage that is no JSON');
    }
}

// By the words of OpenAI (chat and responses), Anthropic and Gemini; nothing for an answer that did not say.
function tokens(usage) {
    const input = usage.prompt_tokens || usage.input_tokens || usage.promptTokenCount || 0;
    const details = usage.prompt_tokens_details || usage.input_tokens_details || {};
    // Anthropic counts what came from its cache, or went there, beside the input.
    const read = usage.cache_read_input_tokens || 0;
    const written = usage.cache_creation_input_tokens || 0;
    const output = usage.completion_tokens || usage.output_tokens || usage.candidatesTokenCount || 0;
    if (!input && !output) {
        return {};
    }
    return {
        input_tokens: input + read + written,
        output_tokens: output + (usage.thoughtsTokenCount || 0),
        cached_input_tokens: details.cached_tokens || usage.cachedContentTokenCount || read,
    };
}

function asked_model(r) {
    try {
        return JSON.parse(r.requestText).model;
    } catch (error) {
        return undefined;
    }
}

// The report: of a success that did not say what it used, the service books what was held.
function report(r) {
    const v = r.variables;
    const failed = Number(v.status) >= 400 && Number(v.status) !== 499;
    const event = Object.assign(
        {
            request_id: v.request_id,
            provider: v.governance_provider,
            model: asked_model(r),
            status: failed ? 'error' : 'success',
        },
        tokens(JSON.parse(v.governance_usage || '{}'))
    );
    if (v.governance_virtual_key_id) {
        event.virtual_key_id = v.governance_virtual_key_id;
    } else {
        // It was let pass while the service was down.
        event.virtual_key = r.headersIn['x-bf-vk'] || (r.headersIn.Authorization || '').replace(/^bearer /i, '');
    }
    return JSON.stringify(event);
}

// Asks with the body of the request, and goes on to the LLM, or answers as the service does.
async function ask(r) {
    const reply = await r.subrequest('/_authz', {method: 'POST', body: r.requestText || ''});
    const v = r.variables;
    v.governance_rate_limit = reply.headersOut['RateLimit'] || '';
    v.governance_rate_limit_policy = reply.headersOut['RateLimit-Policy'] || '';
    if (reply.status === 200) {
        v.governance_virtual_key_id = reply.headersOut['X-Governance-Virtual-Key-Id'];
        r.internalRedirect('@llm');
    } else if (reply.headersOut['X-Governance-Status']) {
        if (reply.headersOut['Retry-After']) {
            r.headersOut['Retry-After'] = reply.headersOut['Retry-After'];
        }
        r.headersOut['Content-Type'] = 'application/json';
        r.return(reply.status, reply.responseText);
    } else {
        // No replica answers. To let calls pass instead: r.internalRedirect('@llm');
        unavailable(r);
    }
}

// A refusal with its true status, in the words of Bifrost: auth_request knows no others than 401 and 403.
function refuse(r) {
    const v = r.variables;
    const status = Number(v.governance_status) || 403;
    let message = v.governance_message || '';
    try {
        message = decodeURIComponent(message);
    } catch (error) {
        // As it is, then.
    }
    const type = v.governance_reason || 'access_blocked';
    if (v.governance_retry_after) {
        r.headersOut['Retry-After'] = v.governance_retry_after;
    }
    answer(r, status, type, message);
}

function unavailable(r) {
    r.headersOut['Retry-After'] = '1';
    answer(r, 503, 'governance_unavailable', 'governance does not answer');
}

function answer(r, status, type, message) {
    r.headersOut['Content-Type'] = 'application/json';
    r.return(status, JSON.stringify({
        is_bifrost_error: false,
        type: type,
        status_code: status,
        error: {type: type, message: message},
        extra_fields: {},
    }));
}

export default {token, llm_key, ask, watch, report, refuse, unavailable};
