# What perl runs in tools/bench malloc: hashes, arrays of arrays, strings that grow, split and join, closures.
use strict;
use warnings;

my $state = 1;
sub next_number { $state = ($state * 1103515245 + 12345) % 2147483648; return $state >> 8; }

my (%entries, $checksum);
for my $round (1 .. 3) {
  for my $i (1 .. 150_000) {
    my $word = join '', map { chr(97 + next_number() % 26) } 1 .. 2 + next_number() % 3;
    push @{$entries{$word}}, {line => $i, text => $word x (1 + $i % 5)};
    shift @{$entries{$word}} if @{$entries{$word}} > 8;
    delete $entries{$word} if $i % 11 == 0;
  }
  my $text = '';
  $text .= "$_ " . scalar(@{$entries{$_}}) . ';' for sort keys %entries;
  my @fields = split /[ ;]/, $text;
  my @makers = map { my $n = $_; sub { "x" x ($n + shift) } } 1 .. 1000;
  $checksum += length($text) + @fields;
  $checksum += length $_->($round) for @makers;
}
print "$checksum\n";
