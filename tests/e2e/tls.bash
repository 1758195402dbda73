# SPDX-License-Identifier: MIT
# For tests about carriers over TLS: secrets, authorities and certificates.
# shellcheck disable=SC2034,SC2154

load lib

# A secret that is easy to look for.
secret() { printf "${1}5%.0s" {1..16}; }

# secrets FILE IDENTITY=LETTER...
secrets() {
    local file=$1 pair
    shift
    for pair; do echo "${pair%=*}:$(secret "${pair#*=}")"; done >"$file"
    chmod 600 "$file"
}

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null && chmod 600 "$1"; }

# authority NAME: makes NAME.key and NAME.pem, signed by itself, and what `openssl ca` keeps of it.
authority() {
    new_key "$1.key"
    openssl req -x509 -key "$1.key" -days 30 -subj "/CN=$1" -out "$1.pem" \
        -addext basicConstraints=critical,CA:TRUE 2>/dev/null
    accounts_of "$1"
}

accounts_of() {
    : >"$1.index"
    cat >"$1.cnf" <<END
[ca]
default_ca = authority
[authority]
database = $1.index
certificate = $1.pem
private_key = $1.key
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
default_days = 3
policy = any
[any]
commonName = supplied
END
}

# certificate NAME AUTHORITY SUBJECT [OPTION-OF-OPENSSL-CA...]: makes NAME.key and NAME.pem. Its
# extensions are those in $extensions.
certificate() {
    local name=$1 by=$2 subject=$3
    shift 3
    new_key "$name.key"
    openssl req -new -key "$name.key" -subj "/CN=$subject" -out "$name.csr" 2>/dev/null
    openssl ca -batch -notext -config "$by.cnf" -in "$name.csr" -out "$name.pem" \
        -extfile <(printf '%s\n' "${extensions:-subjectAltName=IP:127.0.0.1,DNS:gw.example}") "$@" 2>/dev/null
}
expired=(-startdate 20200101000000Z -enddate 20200201000000Z)
not_yet=(-startdate 20990101000000Z -enddate 20990201000000Z)

# revoke NAME AUTHORITY; crl AUTHORITY [OPTION...]: writes AUTHORITY.crl.
revoke() { openssl ca -config "$2.cnf" -revoke "$1.pem" 2>/dev/null; }
crl() {
    local by=$1
    shift
    openssl ca -config "$by.cnf" -gencrl -crldays 3 "$@" -out "$by.crl" 2>/dev/null
}

# gateway_at NAME LINE...: a gateway at tls://, or $scheme, with these lines in [listen], NAME.conf
# and NAME.log. Its port is port_NAME, its pid $spawned.
gateway_at() {
    local name=$1 port
    port=$(free_port)
    shift
    printf '%s\n' '[listen]' "address = ${scheme-tls}://127.0.0.1:$port" 'allow = 127.0.0.1:*' \
        'log-level = debug' "$@" >"$name.conf"
    serve "$name" "$port" "$BUILD/smux-gateway" -c "$name.conf"
    declare -g "port_$name=$port"
}

# pin_of CERTIFICATE: the pin of its key.
pin_of() {
    echo "sha256//$(openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform DER |
        openssl dgst -sha256 -binary | base64)"
}
